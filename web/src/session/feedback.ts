import { type Signal, signal } from "@preact/signals";
import type { Api } from "../api/client";
import type { Agreement, Finding } from "../api/types";
import type { Answer } from "../reading/send";

/** Agreement with an answer, or the finding that it should have been. */
export type Word = "agree" | (Finding["label"] & {});

/** What readers say of answers, where the service keeps a trail and the key may add to it. */
export class Feedback {
  /** By model version; null where nobody is asked. */
  readonly agreement: Signal<readonly Agreement[] | null> = signal(null);
  /** What was said in this tab, by the ids of the answers. */
  readonly said: Signal<ReadonlyMap<string, Word>> = signal(new Map());
  readonly #api: Api;
  #looks = 0;

  constructor(api: Api) {
    this.#api = api;
  }

  /** Ask for the agreement, and with it whether this reader may say anything. */
  async look(): Promise<void> {
    const look = ++this.#looks;
    try {
      const { data } = await this.#api.GET("/feedback");
      // An answer from before the key was given may come last.
      if (look === this.#looks) this.agreement.value = data?.models ?? null;
    } catch {
      // The banner says that the service is away; this runs again when it is back.
    }
  }

  /** Say it; of one answer the last word counts. False where the service did not take it. */
  async say({ body }: Answer, word: Word): Promise<boolean> {
    try {
      const { data } = await this.#api.POST("/feedback/{answer_id}", {
        params: { path: { answer_id: body.id } },
        body: word === "agree" ? { image: 0 } : { image: 0, finding: word },
      });
      if (data) this.said.value = new Map(this.said.peek()).set(body.id, word);
      return data !== undefined;
    } catch {
      return false;
    }
  }
}
