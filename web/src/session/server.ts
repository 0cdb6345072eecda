import { type Signal, signal } from "@preact/signals";
import type { Api } from "../api/client";
import type { Health } from "../api/types";

export type ServerState =
  | { readonly kind: "unknown" }
  /** `looks`: how often in a row it did not answer. */
  | { readonly kind: "away"; readonly looks: number }
  | { readonly kind: "there"; readonly health: Health };

const CALM_MS = 15_000;
const EAGER_MS = 1_500;
/** A service that takes longer to say how it is hangs. */
const ANSWER_MS = 5_000;

/** Watches the service's health, more often while it is not ready or has images in work. */
export class ServerWatch {
  readonly state: Signal<ServerState> = signal<ServerState>({ kind: "unknown" });
  readonly #api: Api;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #waiters: (() => void)[] = [];
  #looking: Promise<boolean> | null = null;

  constructor(api: Api) {
    this.#api = api;
  }

  start(): void {
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) void this.look();
    });
    void this.look();
  }

  /** Whether the service answers at this moment; all who ask at the same time share one look. */
  look(): Promise<boolean> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async #look(): Promise<boolean> {
    clearTimeout(this.#timer);
    const health = await this.#health();
    const before = this.state.peek();
    const looks = before.kind === "away" ? before.looks + 1 : 1;
    this.state.value = health ? { kind: "there", health } : { kind: "away", looks };
    const isReady = health?.status === "ready";
    if (isReady) for (const resolve of this.#waiters.splice(0)) resolve();
    const eager =
      (!isReady && (!document.hidden || this.#waiters.length > 0)) ||
      // What is shown of a queue that empties would soon be wrong.
      (!document.hidden && health !== null && health.in_flight > 0);
    this.#timer = setTimeout(() => void this.look(), eager ? EAGER_MS : CALM_MS);
    return health !== null;
  }

  /** Resolves when the service is ready again. */
  untilBack(): Promise<void> {
    const back = new Promise<void>((resolve) => this.#waiters.push(resolve));
    void this.look();
    return back;
  }

  async #health(): Promise<Health | null> {
    try {
      // A service that is not ready answers 503 with the same body.
      const { data, error } = await this.#api.GET("/health", {
        cache: "no-store",
        signal: AbortSignal.timeout(ANSWER_MS),
      });
      const body: unknown = data ?? error;
      return isHealth(body) ? body : null;
    } catch {
      return null;
    }
  }
}

const isHealth = (body: unknown): body is Health =>
  typeof body === "object" && body !== null && "status" in body && "models" in body;
