/**
 * Does one thing at a time. Of what is wanted meanwhile only the last is done; a reader who steps
 * through a hundred images waits for the one that is reached, not for those that were passed.
 */
export class Latest {
  #isBusy = false;
  #next: (() => Promise<void>) | null = null;

  /** Do something now, or next. It must not reject. */
  want(task: () => Promise<void>): void {
    this.#next = task;
    if (!this.#isBusy) void this.#work();
  }

  /** What waits is no longer wanted. */
  forget(): void {
    this.#next = null;
  }

  async #work(): Promise<void> {
    this.#isBusy = true;
    for (let task = this.#next; task; task = this.#next) {
      this.#next = null;
      await task();
    }
    this.#isBusy = false;
  }
}
