/**
 * Give the focus to the row that took a removed one's place, to the last one where there is none
 * there, or to the first picker where the tray is empty. Without it the focus would fall back to
 * the page's beginning.
 */
export function focusAround(index: number): void {
  afterDrawing(() => {
    const row = (at: number) => find(`.study[aria-posinset="${at}"] .study-select`);
    const target = row(index + 1) ?? row(index) ?? find(".study-select") ?? find(".pickers button");
    target?.focus();
  });
}

/** Give the focus to the selected row, or to the first picker where there is none. */
export function focusSelected(): void {
  afterDrawing(() => {
    const target = find(".study-select[aria-current=true]") ?? find(".pickers button");
    target?.focus({ preventScroll: true });
  });
}

const find = (selector: string) => document.querySelector<HTMLElement>(selector);

/** A row may be drawn only after a scroll, so the focus follows a frame later. */
function afterDrawing(act: () => void): void {
  requestAnimationFrame(() => requestAnimationFrame(act));
}
