import { type Signal, signal } from "@preact/signals";
import type { Api } from "../api/client";
import type { Health } from "../api/types";

export type ServerState =
  | { readonly kind: "unknown" }
  | { readonly kind: "away" }
  | { readonly kind: "there"; readonly health: Health };

const CALM_MS = 15_000;
const EAGER_MS = 1_500;

/** Watches the service's health, more often while it is not ready. */
export class ServerWatch {
  readonly state: Signal<ServerState> = signal<ServerState>({ kind: "unknown" });
  readonly #api: Api;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #waiters: (() => void)[] = [];

  constructor(api: Api) {
    this.#api = api;
  }

  start(): void {
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) void this.look();
    });
    void this.look();
  }

  /** Whether the service answers at this moment. */
  async look(): Promise<boolean> {
    clearTimeout(this.#timer);
    const health = await this.#health();
    this.state.value = health ? { kind: "there", health } : { kind: "away" };
    const isReady = health?.status === "ready";
    if (isReady) for (const resolve of this.#waiters.splice(0)) resolve();
    const eager = !isReady && (!document.hidden || this.#waiters.length > 0);
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
      const { data, error } = await this.#api.GET("/health", { cache: "no-store" });
      const body: unknown = data ?? error;
      return isHealth(body) ? body : null;
    } catch {
      return null;
    }
  }
}

const isHealth = (body: unknown): body is Health =>
  typeof body === "object" && body !== null && "status" in body && "models" in body;
