import type { Outcome, Problem } from "./outcome";

export type ReadingState<A> =
  | { readonly kind: "waiting" }
  | { readonly kind: "sending"; readonly share: number }
  | { readonly kind: "reading" }
  | { readonly kind: "done"; readonly answer: A }
  | { readonly kind: "failed"; readonly problem: Problem }
  | { readonly kind: "cancelled" };

/** Why nothing is sent at the moment. */
export type Pause =
  | { readonly kind: "overloaded"; readonly untilMs: number; readonly type: string }
  | { readonly kind: "away" }
  /** The service wants a key, or another one. */
  | { readonly kind: "locked" };

export interface QueueParts<T, A> {
  /** Send one item; `onProgress` hears the share of its bytes that is sent. */
  readonly send: (
    item: T,
    signal: AbortSignal,
    onProgress: (share: number) => void,
  ) => Promise<Outcome<A>>;
  readonly onState: (item: T, state: ReadingState<A>) => void;
  readonly onPause: (pause: Pause | null) => void;
  readonly sleep: (ms: number) => Promise<void>;
  readonly now: () => number;
  /** Resolves when the server answers again. */
  readonly untilBack: () => Promise<void>;
  /** Whether the server answers at this moment. */
  readonly isThere: () => Promise<boolean>;
  readonly concurrency: number;
}

/** A connection that breaks this often while the server is up breaks because of the file. */
const BROKEN_TRIES = 2;
/** A service that has just come up, or a network that flickers, needs a moment. */
const AFTER_BREAK_MS = 1_000;

/** Sends items a few at a time, waits when told to, and outlives a server that goes away. */
export class ReadingQueue<T, A> {
  readonly #parts: QueueParts<T, A>;
  #waiting: T[] = [];
  readonly #active = new Map<T, AbortController>();
  readonly #broken = new Map<T, number>();
  #pause: Pause | null = null;
  /** How many at a time at the moment: half as many after each refusal, one more as they succeed. */
  #limit: number;
  #succeeded = 0;

  constructor(parts: QueueParts<T, A>) {
    this.#parts = parts;
    this.#limit = parts.concurrency;
  }

  add(items: Iterable<T>): void {
    for (const item of items) {
      if (this.#active.has(item) || this.#waiting.includes(item)) continue;
      this.#waiting.push(item);
      this.#parts.onState(item, { kind: "waiting" });
    }
    this.#pump();
  }

  /** Move a waiting item to the front: the reader looks at it. */
  prefer(item: T): void {
    if (!this.#waiting.includes(item)) return;
    this.#waiting = [item, ...this.#waiting.filter((other) => other !== item)];
  }

  cancel(item: T): void {
    const waited = this.#waiting.includes(item);
    this.#waiting = this.#waiting.filter((other) => other !== item);
    const active = this.#active.get(item);
    active?.abort();
    // At once, so that the item can be added again before its connection has closed.
    this.#active.delete(item);
    if (waited || active) this.#parts.onState(item, { kind: "cancelled" });
    this.#pump();
  }

  cancelAll(): void {
    const waiting = this.#waiting.splice(0);
    for (const item of waiting) this.#parts.onState(item, { kind: "cancelled" });
    for (const item of [...this.#active.keys()]) this.cancel(item);
  }

  /** The server is away: what is under way counts as broken and waits for it with the rest. */
  interrupt(): void {
    for (const [item, controller] of [...this.#active].reverse()) {
      controller.abort();
      this.#putBack(item);
    }
    void this.#pauseUntilBack();
  }

  #pump(): void {
    while (this.#pause === null && this.#active.size < this.#limit) {
      const item = this.#waiting.shift();
      if (item === undefined) return;
      void this.#read(item);
    }
  }

  async #read(item: T): Promise<void> {
    const controller = new AbortController();
    this.#active.set(item, controller);
    this.#parts.onState(item, { kind: "sending", share: 0 });
    const outcome = await this.#parts.send(item, controller.signal, (share) => {
      if (controller.signal.aborted) return;
      this.#parts.onState(item, share < 1 ? { kind: "sending", share } : { kind: "reading" });
    });
    if (controller.signal.aborted) return;
    await this.#settle(item, outcome, controller.signal);
    // A cancelled item may already be under way again.
    if (this.#active.get(item) === controller) this.#active.delete(item);
    this.#pump();
  }

  async #settle(item: T, outcome: Outcome<A>, signal: AbortSignal): Promise<void> {
    switch (outcome.kind) {
      case "answer":
        this.#broken.delete(item);
        this.#parts.onState(item, { kind: "done", answer: outcome.answer });
        this.#grow();
        return;
      case "problem":
        if (outcome.problem.type === "unauthenticated") {
          this.#putBack(item);
          if (this.#pause?.kind !== "locked") this.#hold({ kind: "locked" });
          return;
        }
        this.#parts.onState(item, { kind: "failed", problem: outcome.problem });
        return;
      case "overloaded":
        this.#putBack(item);
        this.#limit = Math.max(1, this.#limit >> 1);
        this.#succeeded = 0;
        this.#pauseFor(outcome.retryAfterMs, outcome.type);
        return;
      case "broken":
        return this.#afterBreak(item, signal);
    }
  }

  /** An answer shows that there is room: what is left of a wait for it is over. */
  #grow(): void {
    if (++this.#succeeded >= this.#limit) {
      this.#limit = Math.min(this.#parts.concurrency, this.#limit + 1);
      this.#succeeded = 0;
    }
    if (this.#pause?.kind === "overloaded") this.#release(this.#pause);
  }

  /** There is a key now: go on. */
  unlock(): void {
    if (this.#pause?.kind === "locked") this.#release(this.#pause);
  }

  async #afterBreak(item: T, signal: AbortSignal): Promise<void> {
    const isThere = await this.#parts.isThere();
    if (signal.aborted) return;
    if (!isThere) {
      this.#putBack(item);
      void this.#pauseUntilBack();
      return;
    }
    const tries = (this.#broken.get(item) ?? 0) + 1;
    this.#broken.set(item, tries);
    if (tries < BROKEN_TRIES) {
      await this.#parts.sleep(AFTER_BREAK_MS);
      if (!signal.aborted) this.#putBack(item);
      return;
    }
    this.#broken.delete(item);
    this.#parts.onState(item, { kind: "failed", problem: { type: "page:broken", status: 0 } });
  }

  #putBack(item: T): void {
    this.#active.delete(item);
    this.#waiting.unshift(item);
    this.#parts.onState(item, { kind: "waiting" });
  }

  /** Of several waits the longest counts. */
  #pauseFor(ms: number, type: string): void {
    const untilMs = this.#parts.now() + ms;
    const held = this.#pause;
    if (held?.kind === "away" || held?.kind === "locked" || (held && held.untilMs >= untilMs))
      return;
    const pause: Pause = { kind: "overloaded", untilMs, type };
    this.#hold(pause);
    void this.#parts.sleep(ms).then(() => this.#release(pause));
  }

  async #pauseUntilBack(): Promise<void> {
    if (this.#pause?.kind === "away") return;
    const pause: Pause = { kind: "away" };
    this.#hold(pause);
    await this.#parts.untilBack();
    this.#release(pause);
  }

  #hold(pause: Pause): void {
    this.#pause = pause;
    this.#parts.onPause(pause);
  }

  /** End a pause, unless another one has taken its place. */
  #release(pause: Pause): void {
    if (this.#pause !== pause) return;
    this.#pause = null;
    this.#parts.onPause(null);
    this.#pump();
  }
}
