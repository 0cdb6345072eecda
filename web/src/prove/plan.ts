/** What a reader sees at one place of a trial. */
export interface Place {
  readonly sha256: string;
  /** Whether this film was shown before, to measure how the reader agrees with himself. */
  readonly isRepeat: boolean;
}

const REPEATED = 0.1;
/** Fewer films between the two looks would be remembered. */
const APART = 10;

/** The order of a trial: shuffled, a tenth shown twice. The same seed gives the same order. */
export function planOf(films: readonly string[], seed: number): readonly Place[] {
  const random = mulberry32(seed);
  const order = shuffled([...films].sort(), random);
  const gap = Math.min(APART, Math.floor(order.length / 2));
  const early = order.slice(0, order.length - gap);
  const twice = shuffled([...early], random).slice(0, Math.round(order.length * REPEATED));
  const first = order.map((sha256, at) => ({ sha256, isRepeat: false, key: at }));
  const again = twice.map((sha256) => {
    const from = order.indexOf(sha256) + gap;
    return { sha256, isRepeat: true, key: from + random() * (order.length - from) + 0.5 };
  });
  return [...first, ...again]
    .sort((a, b) => a.key - b.key)
    .map(({ sha256, isRepeat }) => ({ sha256, isRepeat }));
}

/** Fisher and Yates. */
function shuffled<T>(items: T[], random: () => number): T[] {
  for (let at = items.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    [items[at], items[other]] = [items[other] as T, items[at] as T];
  }
  return items;
}

/** Tommy Ettinger's generator of 32 bits: small, and good enough to shuffle. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
