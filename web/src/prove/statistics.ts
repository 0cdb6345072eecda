/** A share or a measure with its 95 % interval. `n` is how many it rests on. */
export interface Figure {
  readonly value: number;
  readonly lower: number;
  readonly upper: number;
  readonly n: number;
}

const Z = 1.959964;

/**
 * A share with its interval.
 *
 * Source: Wilson 1927. With fewer patients than films the interval is as wide as that of so many
 * independent ones.
 *
 * @param right How many of `n` films.
 * @param patients How many patients they are of.
 */
export function share(right: number, n: number, patients = n): Figure | null {
  if (n === 0) return null;
  const p = right / n;
  const m = Math.min(n, Math.max(1, patients));
  const z2 = Z * Z;
  const middle = (p + z2 / (2 * m)) / (1 + z2 / m);
  const half = (Z / (1 + z2 / m)) * Math.sqrt((p * (1 - p)) / m + z2 / (4 * m * m));
  return { value: p, lower: Math.max(0, middle - half), upper: Math.min(1, middle + half), n };
}

/** A number for each film, whether it has the finding, and whose film it is. */
export interface Scored {
  readonly score: number;
  readonly has: boolean;
  readonly patient: string;
}

/**
 * Area under the ROC curve with its interval; null without films of both kinds.
 *
 * Source: Mann and Whitney 1947 with mid-ranks; the interval is method 5 of Newcombe 2006, which
 * has a width at 1 too. Patients are counted in place of films.
 */
export function auroc(films: readonly Scored[]): Figure | null {
  const positive = films.filter(({ has }) => has);
  const negative = films.filter(({ has }) => !has);
  if (positive.length === 0 || negative.length === 0) return null;
  const sorted = [...films].sort((a, b) => a.score - b.score);
  let rankSum = 0;
  for (let at = 0; at < sorted.length; ) {
    let end = at;
    while (end < sorted.length && sorted[end]?.score === sorted[at]?.score) end++;
    const rank = (at + 1 + end) / 2;
    for (let i = at; i < end; i++) if (sorted[i]?.has) rankSum += rank;
    at = end;
  }
  const p = positive.length;
  const value = (rankSum - (p * (p + 1)) / 2) / (p * negative.length);
  const m = distinct(positive);
  const n = distinct(negative);
  const edge = (sign: -1 | 1) => edgeOf(value, m, n, sign);
  return { value, lower: edge(-1), upper: edge(1), n: films.length };
}

const distinct = (films: readonly Scored[]): number =>
  new Set(films.map(({ patient }) => patient)).size;

/** The area that is just so far from `value` as its own spread allows, by bisection. */
function edgeOf(value: number, m: number, n: number, sign: -1 | 1): number {
  const star = (m + n) / 2 - 1;
  const reach = (t: number) =>
    Z *
    Math.sqrt(((t * (1 - t)) / (m * n)) * (1 + star * ((1 - t) / (2 - t)) + (star * t) / (1 + t)));
  let near = value;
  let far = sign < 0 ? 0 : 1;
  for (let step = 0; step < 60; step++) {
    const middle = (near + far) / 2;
    if (Math.abs(value - middle) <= reach(middle)) near = middle;
    else far = middle;
  }
  return near;
}

/**
 * Cohen's kappa of two who name each film, with its interval; null where it is not defined.
 *
 * Source: Cohen 1960; standard error: Fleiss, Cohen and Everitt 1969.
 */
export function kappa(pairs: readonly (readonly [string, string])[]): Figure | null {
  const n = pairs.length;
  const names = [...new Set(pairs.flat())];
  if (n === 0 || names.length < 2) return null;
  const at = new Map(names.map((name, index) => [name, index]));
  const p = names.map(() => names.map(() => 0));
  for (const [a, b] of pairs) {
    const row = p[at.get(a) as number] as number[];
    row[at.get(b) as number] = (row[at.get(b) as number] ?? 0) + 1 / n;
  }
  const cell = (i: number, j: number) => p[i]?.[j] ?? 0;
  const rows = names.map((_, i) => sum(names.map((_, j) => cell(i, j))));
  const columns = names.map((_, j) => sum(names.map((_, i) => cell(i, j))));
  const row = (i: number) => rows[i] ?? 0;
  const column = (j: number) => columns[j] ?? 0;
  const agreed = sum(names.map((_, i) => cell(i, i)));
  const chance = sum(names.map((_, i) => row(i) * column(i)));
  if (chance >= 1) return null;
  const value = (agreed - chance) / (1 - chance);
  const a = sum(names.map((_, i) => cell(i, i) * (1 - (row(i) + column(i)) * (1 - value)) ** 2));
  const b =
    (1 - value) ** 2 *
    sum(
      names.flatMap((_, i) =>
        names.map((_, j) => (i === j ? 0 : cell(i, j) * (column(i) + row(j)) ** 2)),
      ),
    );
  const c = (value - chance * (1 - value)) ** 2;
  const half = (Z * Math.sqrt(Math.max(0, a + b - c) / n)) / (1 - chance);
  return { value, lower: Math.max(-1, value - half), upper: Math.min(1, value + half), n };
}

export function median(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const at = (index: number) => sorted[index] as number;
  return sorted.length % 2 === 1 ? at(Math.floor(middle)) : (at(middle - 1) + at(middle)) / 2;
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
