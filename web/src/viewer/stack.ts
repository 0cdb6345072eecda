import type { Session } from "../session/session";
import type { ViewerModel } from "./model";

/** What of the session a stack needs. */
type Slices = Pick<Session, "selected" | "select" | "slicesOf">;

/** The frames of the open file, or the slices of the series that it is one of. */
export class Stack {
  readonly #session: Slices;
  readonly #viewer: ViewerModel;

  constructor(session: Slices, viewer: ViewerModel) {
    this.#session = session;
    this.#viewer = viewer;
  }

  /** How many there are; 1 where there is nothing to turn. */
  get count(): number {
    return this.#isOfFrames ? this.#viewer.frames.value : Math.max(1, this.#slices.length);
  }

  /** The one that is shown, from 1. */
  get at(): number {
    const study = this.#session.selected.value;
    if (!study) return 1;
    return this.#isOfFrames ? study.frame.value : this.#slices.indexOf(study) + 1;
  }

  turnTo(at: number): void {
    const study = this.#session.selected.peek();
    const to = Math.min(this.count, Math.max(1, at));
    if (!study || to === this.at) return;
    if (this.#isOfFrames) study.frame.value = to;
    else {
      const slice = this.#slices[to - 1];
      if (slice) this.#session.select(slice);
    }
  }

  get #isOfFrames(): boolean {
    return this.#viewer.frames.value > 1;
  }

  get #slices() {
    const study = this.#session.selected.value;
    const slices = study ? this.#session.slicesOf(study) : [];
    return study && slices.includes(study) ? slices : [];
  }
}
