import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Api } from "../api/client";
import { ServerWatch } from "./server";

const READY = { status: "ready", models: [] };

/** A service that answers with what the test says. */
function watching(get: (signal: AbortSignal) => Promise<unknown>) {
  const GET = vi.fn((_path: string, { signal }: { signal: AbortSignal }) => get(signal));
  return { watch: new ServerWatch({ GET } as unknown as Api), GET };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("document", { hidden: false });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it("all who ask at the same time share one look", async () => {
  const { watch, GET } = watching(async () => ({ data: READY }));

  const answers = await Promise.all([watch.look(), watch.look(), watch.look()]);
  await watch.look();

  expect(answers).toEqual([true, true, true]);
  expect(GET).toHaveBeenCalledTimes(2);
});

it("a service that hangs is away, and each look in vain is counted", async () => {
  const { watch } = watching(async () => {
    throw new DOMException("timed out", "TimeoutError");
  });

  await watch.look();
  const once = watch.state.value;
  await watch.look();

  expect(once).toEqual({ kind: "away", looks: 1 });
  expect(watch.state.value).toEqual({ kind: "away", looks: 2 });
});

it("a look ends by itself", async () => {
  const limit = vi.spyOn(AbortSignal, "timeout");
  const { watch, GET } = watching(async () => ({ data: READY }));

  await watch.look();

  expect(limit).toHaveBeenCalledWith(5000);
  expect(GET.mock.calls[0]?.[1].signal).toBe(limit.mock.results[0]?.value);
});
