export interface Span {
  readonly first: number;
  /** One past the last. */
  readonly end: number;
}

const SPARE = 4;

/** Which rows of a long list are on screen, with a few to spare above and below. */
export function visibleSpan(
  count: number,
  rowHeight: number,
  scrollTop: number,
  height: number,
): Span {
  if (rowHeight <= 0) return { first: 0, end: 0 };
  const first = Math.floor(scrollTop / rowHeight) - SPARE;
  const end = Math.ceil((scrollTop + height) / rowHeight) + SPARE;
  return { first: Math.min(Math.max(0, first), count), end: Math.min(count, Math.max(0, end)) };
}

/** Where to scroll so that a row is wholly on screen; null where it is. */
export function scrollFor(
  row: number,
  rowHeight: number,
  scrollTop: number,
  height: number,
): number | null {
  const top = row * rowHeight;
  if (top < scrollTop) return top;
  const bottom = top + rowHeight;
  return bottom > scrollTop + height ? bottom - height : null;
}
