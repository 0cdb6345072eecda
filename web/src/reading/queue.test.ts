import { describe, expect, it } from "vitest";
import type { Outcome } from "./outcome";
import { type Pause, ReadingQueue, type ReadingState } from "./queue";

type Send = (item: string, signal: AbortSignal) => Promise<Outcome<string>>;

const overloaded = (retryAfterMs: number, type = "queue-full"): Outcome<string> => ({
  kind: "overloaded",
  retryAfterMs,
  type,
});

const answer = (text: string): Outcome<string> => ({ kind: "answer", answer: text });

/** A queue whose clock and server the test holds in its hands. */
function bench(send: Send, { isThere = async () => true, concurrency = 2 } = {}) {
  const states = new Map<string, ReadingState<string>>();
  const pauses: (Pause | null)[] = [];
  const sleeps: number[] = [];
  let wake = () => {};
  let comeBack = () => {};
  const queue = new ReadingQueue<string, string>({
    send,
    concurrency,
    isThere,
    onState: (item, state) => states.set(item, state),
    onPause: (pause) => pauses.push(pause),
    now: () => 1000,
    sleep: (ms) => {
      sleeps.push(ms);
      return new Promise((resolve) => {
        wake = resolve;
      });
    },
    untilBack: () =>
      new Promise((resolve) => {
        comeBack = resolve;
      }),
  });
  return { queue, states, pauses, sleeps, wake: () => wake(), comeBack: () => comeBack() };
}

const settle = async () => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
};

const kinds = (states: Map<string, ReadingState<string>>) =>
  Object.fromEntries([...states].map(([item, state]) => [item, state.kind]));

describe("the reading queue", () => {
  it("never has more under way than its concurrency", async () => {
    let underWay = 0;
    let most = 0;
    const { queue, states } = bench(async (item) => {
      most = Math.max(most, ++underWay);
      await Promise.resolve();
      underWay--;
      return answer(item);
    });

    queue.add(["a", "b", "c", "d", "e"]);
    await settle();

    expect(most).toBe(2);
    expect([...states.values()].every((state) => state.kind === "done")).toBe(true);
  });

  it("waits as long as an overloaded server says, and then sends the same item again", async () => {
    const tries: string[] = [];
    const { queue, states, pauses, sleeps, wake } = bench(
      async (item) => {
        tries.push(item);
        return tries.length === 1 ? overloaded(7000, "device-lost") : answer(item);
      },
      { concurrency: 1 },
    );

    queue.add(["a", "b"]);
    await settle();
    const whileWaiting = kinds(states);
    wake();
    await settle();

    expect(whileWaiting).toEqual({ a: "waiting", b: "waiting" });
    expect(sleeps).toEqual([7000]);
    expect(pauses).toEqual([{ kind: "overloaded", untilMs: 8000, type: "device-lost" }, null]);
    expect(tries).toEqual(["a", "a", "b"]);
  });

  it("waits for the longest of several waits", async () => {
    const waits: Record<string, number> = { a: 2000, b: 9000, c: 3000 };
    const wakes: (() => void)[] = [];
    const pauses: (Pause | null)[] = [];
    const tries: string[] = [];
    const queue = new ReadingQueue<string, string>({
      send: async (item) => {
        tries.push(item);
        return tries.length > 3 ? answer(item) : overloaded(waits[item] ?? 0);
      },
      concurrency: 3,
      isThere: async () => true,
      onState: () => {},
      onPause: (pause) => pauses.push(pause),
      now: () => 0,
      sleep: () => new Promise((resolve) => wakes.push(resolve)),
      untilBack: async () => {},
    });

    queue.add(["a", "b", "c"]);
    await settle();
    wakes[0]?.();
    await settle();
    const afterTheShort = tries.length;
    wakes[1]?.();
    await settle();

    expect(wakes).toHaveLength(2);
    expect(afterTheShort).toBe(3);
    expect(pauses.map((pause) => pause?.kind === "overloaded" && pause.untilMs)).toEqual([
      2000,
      9000,
      false,
    ]);
    expect(tries).toHaveLength(6);
  });

  it("takes back what a hung server holds, in its order, and sends it when it is back", async () => {
    const tries: string[] = [];
    let hangs = true;
    const { queue, states, pauses, comeBack } = bench((item) => {
      tries.push(item);
      return hangs ? new Promise(() => {}) : Promise.resolve(answer(item));
    });

    queue.add(["a", "b", "c"]);
    await settle();
    queue.interrupt();
    const whileHung = kinds(states);
    hangs = false;
    comeBack();
    await settle();

    expect(whileHung).toEqual({ a: "waiting", b: "waiting", c: "waiting" });
    expect(pauses).toEqual([{ kind: "away" }, null]);
    expect(tries).toEqual(["a", "b", "a", "b", "c"]);
    expect(kinds(states)).toEqual({ a: "done", b: "done", c: "done" });
  });

  it("keeps its items while the server is away and goes on when it is back", async () => {
    let up = false;
    const { queue, states, pauses, comeBack } = bench(
      async (item) => (up ? answer(item) : { kind: "broken" }),
      { isThere: async () => up },
    );

    queue.add(["a", "b", "c"]);
    await settle();
    const whileAway = kinds(states);
    up = true;
    comeBack();
    await settle();

    expect(whileAway).toEqual({ a: "waiting", b: "waiting", c: "waiting" });
    expect(pauses[0]).toEqual({ kind: "away" });
    expect(kinds(states)).toEqual({ a: "done", b: "done", c: "done" });
  });

  it("gives an item up whose connection breaks again and again though the server is there", async () => {
    const tries: string[] = [];
    const { queue, states, sleeps, wake } = bench(async (item) => {
      tries.push(item);
      return item === "huge" ? { kind: "broken" } : answer(item);
    });

    queue.add(["huge", "good"]);
    await settle();
    const atOnce = tries.length;
    wake();
    await settle();

    expect(atOnce).toBe(2);
    expect(sleeps).toEqual([1000]);
    expect(kinds(states)).toEqual({ huge: "failed", good: "done" });
    expect(tries.filter((item) => item === "huge")).toHaveLength(2);
  });

  it("cancels an item under way and goes on with the next", async () => {
    const { queue, states } = bench(
      (item, signal) =>
        item === "slow"
          ? new Promise((resolve) => {
              signal.addEventListener("abort", () => resolve({ kind: "broken" }));
            })
          : Promise.resolve(answer(item)),
      { concurrency: 1 },
    );

    queue.add(["slow", "next"]);
    await settle();
    queue.cancel("slow");
    await settle();

    expect(kinds(states)).toEqual({ slow: "cancelled", next: "done" });
  });

  it("sends an item again that was cancelled and added at once", async () => {
    let tries = 0;
    const { queue, states } = bench((item) =>
      ++tries === 1 ? new Promise(() => {}) : Promise.resolve(answer(item)),
    );

    queue.add(["a"]);
    await settle();
    queue.cancel("a");
    queue.add(["a"]);
    await settle();

    expect(tries).toBe(2);
    expect(kinds(states)).toEqual({ a: "done" });
  });

  it("starts nothing more when all is cancelled", async () => {
    const tries: string[] = [];
    const { queue, states } = bench(
      (item) => {
        tries.push(item);
        return new Promise(() => {});
      },
      { concurrency: 1 },
    );

    queue.add(["a", "b", "c"]);
    queue.cancelAll();
    await settle();

    expect(tries).toEqual(["a"]);
    expect(kinds(states)).toEqual({ a: "cancelled", b: "cancelled", c: "cancelled" });
  });

  it("sends what the reader looks at first", async () => {
    const order: string[] = [];
    let release = () => {};
    const { queue } = bench(
      (item) =>
        new Promise((resolve) => {
          order.push(item);
          if (item !== "a") resolve(answer(item));
          else release = () => resolve(answer(item));
        }),
      { concurrency: 1 },
    );

    queue.add(["a", "b", "c"]);
    queue.prefer("c");
    release();
    await settle();

    expect(order).toEqual(["a", "c", "b"]);
  });
});

it("an answer ends the wait of a full queue, and fewer are sent at a time", async () => {
  let refusing = true;
  let most = 0;
  const active = new Map<string, () => void>();
  const pauses: (Pause | null)[] = [];
  const queue = new ReadingQueue<string, string>({
    send: (item) => {
      if (refusing && active.size >= 2) {
        refusing = false;
        return Promise.resolve(overloaded(60_000));
      }
      return new Promise((resolve) => {
        active.set(item, () => {
          active.delete(item);
          resolve(answer(item));
        });
        most = Math.max(most, active.size);
      });
    },
    concurrency: 4,
    isThere: async () => true,
    onState: () => {},
    onPause: (pause) => pauses.push(pause),
    now: () => 0,
    sleep: () => new Promise(() => {}),
    untilBack: async () => {},
  });

  queue.add(["a", "b", "c", "d", "e"]);
  await settle();
  const whileFull = [...active.keys()];
  active.get("a")?.();
  await settle();
  const after = [...active.keys()];
  active.get("b")?.();
  await settle();
  const grown = [...active.keys()];

  expect(whileFull).toEqual(["a", "b", "d"]);
  expect(pauses).toEqual([{ kind: "overloaded", untilMs: 60_000, type: "queue-full" }, null]);
  expect(after).toEqual(["b", "d"]);
  expect(grown).toEqual(["d", "c", "e"]);
  expect(most).toBe(3);
});

it("a key is waited for without a single failure", async () => {
  let isLocked = true;
  const { queue, states, pauses } = bench(async (item) =>
    isLocked
      ? { kind: "problem", problem: { type: "unauthenticated", status: 401 } }
      : answer(item),
  );

  queue.add(["a", "b", "c"]);
  await settle();
  const whileLocked = kinds(states);
  isLocked = false;
  queue.unlock();
  await settle();

  expect(whileLocked).toEqual({ a: "waiting", b: "waiting", c: "waiting" });
  expect(pauses).toEqual([{ kind: "locked" }, null]);
  expect(kinds(states)).toEqual({ a: "done", b: "done", c: "done" });
});
