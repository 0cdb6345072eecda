import { effect, type Signal, signal } from "@preact/signals";
import { openStore, type Store } from "../app/store";
import type { Session } from "./session";
import { bare, type KeptStudy, keptOf, studyOf } from "./study";

const DATABASE = "pneumoscope-results";

/**
 * Keeps the results of a session in the browser, for those who ask for it: what was answered and
 * the files' names, never an image. Off until then.
 */
export class Keeping {
  readonly isOn: Signal<boolean> = signal(false);
  readonly #session: Session;
  #store: Store | null = null;
  /** What was written of each study, by its id. */
  readonly #written = new Map<number, KeptStudy>();

  constructor(session: Session) {
    this.#session = session;
  }

  /** Bring back what an earlier visit kept, and keep on keeping where one did. */
  async start(): Promise<void> {
    this.#store = await openStore(DATABASE, false);
    const kept = [...((await this.#store?.all()) ?? [])].map(
      ([id, study]) => [Number(id), study as KeptStudy] as const,
    );
    kept.sort(([a], [b]) => a - b);
    this.#session.restore(kept.map(([id, study]) => studyOf(id, study)));
    this.isOn.value = this.#store !== null;
    effect(() => {
      if (this.isOn.value) this.#follow();
    });
  }

  /** Keep all results from now on. False where the browser keeps nothing. */
  async turnOn(): Promise<boolean> {
    this.#store = await openStore(DATABASE);
    this.isOn.value = this.#store !== null;
    return this.isOn.value;
  }

  /** Erase all that is kept, and keep no more. */
  async erase(): Promise<void> {
    this.isOn.value = false;
    this.#written.clear();
    await this.#store?.erase();
    this.#store = null;
  }

  /** Write what has changed. Whatever settles a study, or takes it away, calls this again. */
  #follow(): void {
    const studies = this.#session.studies.value;
    const ids = new Set(studies.map(({ id }) => id));
    for (const study of studies) {
      const kept = keptOf(study);
      const before = this.#written.get(study.id);
      if (!kept || (before?.state === kept.state && before.facts === kept.facts)) continue;
      this.#written.set(study.id, kept);
      void this.#try((store) => store.put(String(study.id), bare(kept)));
    }
    for (const id of this.#written.keys()) {
      if (ids.has(id)) continue;
      this.#written.delete(id);
      void this.#try((store) => store.remove(String(id)));
    }
  }

  /** A browser that keeps no more keeps nothing at all, so that nobody trusts in half of it. */
  async #try(act: (store: Store) => Promise<void>): Promise<void> {
    try {
      if (this.#store) await act(this.#store);
    } catch {
      await this.erase();
    }
  }
}
