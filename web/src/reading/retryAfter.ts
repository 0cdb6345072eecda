const DEFAULT_MS = 2_000;
/** A service that says "at once", or whose clock is behind, is still not asked in a loop. */
const SHORTEST_MS = 1_000;
const LONGEST_MS = 300_000;

/**
 * How long to wait before the next try, in milliseconds.
 *
 * Source: RFC 9110 10.2.3: a number of seconds or a date.
 */
export function retryAfterMs(header: string | null, now: number): number {
  if (header === null || header.trim() === "") return DEFAULT_MS;
  const seconds = Number(header);
  const wait = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - now;
  return Number.isFinite(wait) ? Math.min(LONGEST_MS, Math.max(SHORTEST_MS, wait)) : DEFAULT_MS;
}
