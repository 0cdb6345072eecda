import type { ImageWorker } from "../images/client";
import type { Study } from "./study";

/** Makes thumbnails one after the other, the rows on screen first. */
export class Thumbnails {
  readonly #worker: ImageWorker;
  #wanted: Study[] = [];
  #busy = false;

  constructor(worker: ImageWorker) {
    this.#worker = worker;
  }

  /** Ask for a study's thumbnail, because its row is on screen. */
  want(study: Study): void {
    if (study.thumbnail.value !== null || this.#wanted.includes(study)) return;
    this.#wanted.push(study);
    void this.#work();
  }

  /** The row left the screen before its turn came. */
  forget(study: Study): void {
    this.#wanted = this.#wanted.filter((other) => other !== study);
  }

  /** Give back the memory of a study that is removed. */
  release(study: Study): void {
    this.forget(study);
    const url = study.thumbnail.value;
    if (url && url !== "none") URL.revokeObjectURL(url);
    study.thumbnail.value = "none";
  }

  async #work(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    for (let study = this.#wanted.shift(); study; study = this.#wanted.shift()) {
      const url = await this.#made(study);
      // A study that was removed meanwhile says "none" already.
      if (study.thumbnail.value === null) study.thumbnail.value = url;
      else if (url !== "none") URL.revokeObjectURL(url);
    }
    this.#busy = false;
  }

  async #made(study: Study): Promise<string> {
    if (!study.file) return "none";
    try {
      return URL.createObjectURL(await this.#worker.thumbnail(study.file));
    } catch {
      return "none";
    }
  }
}
