import { effect } from "@preact/signals";
import { type DecodedImage, PreviewError } from "../images/types";
import type { Session } from "../session/session";
import type { Study } from "../session/study";
import type { ViewerModel } from "./model";

/** Decoded images are large; going back and forth between a few should still be quick. */
const KEPT = 3;

/** Opens what is selected in the viewer, and the next frame when the reader turns to it. */
export class Opening {
  readonly #session: Session;
  readonly #viewer: ViewerModel;
  readonly #kept = new Map<string, DecodedImage>();
  #shown: Study | null = null;
  #wanted = "";

  constructor(session: Session, viewer: ViewerModel) {
    this.#session = session;
    this.#viewer = viewer;
  }

  /** Follow the selection until the returned function is called. */
  follow(): () => void {
    return effect(() => {
      const study = this.#session.selected.value;
      const frame = study?.frame.value ?? 1;
      if (study) void this.#open(study, frame);
      else {
        this.#wanted = "";
        this.#viewer.shown.value = { kind: "nothing" };
      }
    });
  }

  async #open(study: Study, frame: number): Promise<void> {
    const key = `${study.id} ${frame}`;
    const isOther = this.#shown !== study;
    this.#wanted = key;
    if (isOther) this.#readFacts(study);
    const known = this.#kept.get(key);
    if (!known && isOther) this.#viewer.shown.value = { kind: "opening" };
    try {
      const image = known ?? (await this.#session.parts.viewing.decode(study.file, frame));
      this.#keep(key, image);
      if (this.#wanted !== key) return;
      this.#viewer.show(image, !isOther);
      this.#shown = study;
    } catch (error) {
      if (this.#wanted !== key) return;
      const known = error instanceof PreviewError ? error : new PreviewError("damaged");
      this.#shown = null;
      this.#viewer.shown.value = { kind: "impossible", error: known };
    }
  }

  async #readFacts(study: Study): Promise<void> {
    if (study.format !== "dicom" || study.facts.peek()) return;
    // A damaged file has no facts; the viewer says that it is damaged.
    const facts = await this.#session.parts.sketching.facts(study.file).catch(() => null);
    study.facts.value = facts;
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
