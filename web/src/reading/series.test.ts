import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createApi } from "../api/client";
import { type Answer, sendSeries } from "./send";

const MIB = 1024 * 1024;
const MODEL = { name: "ct", version: 1 } as Answer["model"];
const SERIES = { decision: "refer" };

const fetched = vi.fn<(request: Request) => Promise<Response>>();

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("fetch", fetched);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  fetched.mockReset();
});

const json = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), {
    status,
    headers: { "Content-Type": "application/json", ...headers },
  });
const problem = (type: string, status: number, headers?: Record<string, string>) =>
  json(status, { type: `https://example.org/problems/${type}`, title: "Title", status }, headers);

const send = (sizes: readonly number[], signal = new AbortController().signal) =>
  sendSeries(
    createApi("http://localhost", () => null),
    sizes.map((size, at) => new Blob([new Uint8Array(size).fill(at)])),
    MODEL,
    signal,
  );

/** The slices of the last request, each by its first byte. */
async function sentSlices(): Promise<number[]> {
  const form = await fetched.mock.lastCall?.[0].formData();
  const slices = (form?.getAll("file") ?? []) as File[];
  return Promise.all(
    slices.map(async (slice) => new Uint8Array(await slice.arrayBuffer())[0] ?? -1),
  );
}

it.each([
  ["a few are all sent", 3, 1, [0, 1, 2]],
  [
    "many are sent as 32, the ends among them",
    63,
    1,
    Array.from({ length: 32 }, (_, at) => at * 2),
  ],
  ["large ones are sent as fewer, the ends among them", 5, 16 * MIB, [0, 2, 4]],
  ["two are sent, however large", 3, 31 * MIB, [0, 2]],
])("of the slices of a series %s", async (_, count, size, slices) => {
  fetched.mockImplementation(async () => json(200, { results: [], series: [SERIES] }));

  const outcome = await send(Array(count).fill(size));

  expect(outcome).toEqual({ kind: "answer", answer: SERIES });
  expect(await sentSlices()).toEqual(slices);
});

it("a series that is refused for a while is sent again when the service says so", async () => {
  fetched
    .mockResolvedValueOnce(problem("queue-full", 429, { "Retry-After": "7" }))
    .mockResolvedValueOnce(json(200, { results: [], series: [SERIES] }));

  const outcome = send([1, 1]);
  await vi.advanceTimersByTimeAsync(6_999);
  const before = fetched.mock.calls.length;
  await vi.advanceTimersByTimeAsync(1);

  expect(before).toBe(1);
  expect(await outcome).toEqual({ kind: "answer", answer: SERIES });
  expect(await sentSlices()).toEqual([0, 1]);
});

it.each([
  ["body-too-large", problem("body-too-large", 413)],
  ["page:no-series", json(200, { results: [] })],
  ["page:unexpected", new Response("<html>", { status: 200 })],
])("a series without an answer says why: %s", async (type, response) => {
  fetched.mockResolvedValueOnce(response);

  expect(await send([1, 1])).toMatchObject({ kind: "problem", problem: { type } });
});

it("a series that is left while it waits is not sent again", async () => {
  const controller = new AbortController();
  fetched.mockImplementation(async ({ signal }) => {
    signal.throwIfAborted();
    return problem("queue-full", 429);
  });

  const outcome = send([1, 1], controller.signal);
  await vi.advanceTimersByTimeAsync(1_000);
  controller.abort();
  await vi.advanceTimersByTimeAsync(60_000);

  expect(await outcome).toEqual({ kind: "broken" });
});

it("a connection that breaks is no problem of the series", async () => {
  fetched.mockRejectedValueOnce(new TypeError("the connection broke"));

  expect(await send([1, 1])).toEqual({ kind: "broken" });
});
