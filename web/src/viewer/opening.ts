import { effect } from "@preact/signals";
import { type DecodedImage, PreviewError } from "../images/types";
import type { Session } from "../session/session";
import type { Study } from "../session/study";
import { Latest } from "./latest";
import type { ViewerModel } from "./model";

/** Decoded images are large; going back and forth between a few should still be quick. */
const KEPT = 3;

/** What of the session the viewer needs. */
export type Desk = Pick<Session, "selected" | "server" | "parts" | "readFacts" | "slicesOf">;

/** Opens what is selected in the viewer, and the next frame when the reader turns to it. */
export class Opening {
  readonly #session: Desk;
  readonly #viewer: ViewerModel;
  readonly #kept = new Map<string, DecodedImage>();
  readonly #decoding = new Latest();
  /** How many frames a file has, as its first good frame told. */
  readonly #frames = new WeakMap<Study, number>();
  #shown: Study | null = null;
  #wanted = "";

  constructor(session: Desk, viewer: ViewerModel) {
    this.#session = session;
    this.#viewer = viewer;
  }

  /** Follow the selection until the returned function is called. */
  follow(): () => void {
    const leaveSelection = effect(() => {
      const study = this.#session.selected.value;
      const frame = study?.frame.value ?? 1;
      if (study) this.#open(study, frame);
      else this.#close();
    });
    const leaveServer = effect(() => {
      if (this.#session.server.state.value.kind === "there") this.#openAgain();
    });
    return () => {
      leaveSelection();
      leaveServer();
      this.#decoding.forget();
    };
  }

  #close(): void {
    this.#wanted = "";
    this.#shown = null;
    this.#decoding.forget();
    this.#viewer.frames.value = 1;
    this.#viewer.shown.value = { kind: "nothing" };
  }

  /** A part of the page that did not arrive is there again once the service is. */
  #openAgain(): void {
    const shown = this.#viewer.shown.peek();
    const study = this.#session.selected.peek();
    if (!study || shown.kind !== "impossible" || shown.error.reason !== "not-loaded") return;
    this.#open(study, study.frame.peek());
  }

  #open(study: Study, frame: number): void {
    const key = `${study.id} ${frame}`;
    this.#wanted = key;
    this.#viewer.frames.value = this.#frames.get(study) ?? 1;
    const known = this.#kept.get(key);
    if (known) {
      this.#decoding.forget();
      this.#show(study, key, known);
      return;
    }
    if (!this.#goesOn(study)) this.#viewer.shown.value = { kind: "opening" };
    this.#decoding.want(() => this.#decode(study, frame, key));
  }

  async #decode(study: Study, frame: number, key: string): Promise<void> {
    void this.#session.readFacts(study);
    try {
      if (!study.file) throw new PreviewError("not-kept");
      const image = await this.#session.parts.viewing.decode(study.file, frame);
      this.#frames.set(study, image.frames);
      this.#keep(key, image);
      if (this.#wanted === key) this.#show(study, key, image);
    } catch (error) {
      if (this.#wanted !== key) return;
      const known = error instanceof PreviewError ? error : new PreviewError("damaged");
      this.#shown = null;
      this.#viewer.shown.value = { kind: "impossible", error: known };
    }
  }

  #show(study: Study, key: string, image: DecodedImage): void {
    this.#keep(key, image);
    this.#viewer.frames.value = image.frames;
    this.#viewer.show(image, this.#goesOn(study));
    this.#shown = study;
  }

  /** Whether it is another frame of what is shown, or another slice of its stack. */
  #goesOn(study: Study): boolean {
    const shown = this.#shown;
    return shown === study || (shown !== null && this.#session.slicesOf(study).includes(shown));
  }

  #keep(key: string, image: DecodedImage): void {
    this.#kept.delete(key);
    this.#kept.set(key, image);
    for (const old of this.#kept.keys()) {
      if (this.#kept.size <= KEPT) return;
      this.#kept.delete(old);
    }
  }
}
