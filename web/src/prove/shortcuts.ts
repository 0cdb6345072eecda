import { type Figure, share } from "./statistics";

/** A film's true finding and what its file says of how it was taken. */
export interface Taken {
  readonly truth: string;
  readonly traits: Readonly<Record<Trait, string | null>>;
}

export type Trait = "device" | "size" | "view";

export const TRAITS: readonly Trait[] = ["device", "size", "view"];

export interface Shortcut {
  readonly trait: Trait;
  /** How often it names the finding of a film that it has not seen. */
  readonly right: Figure;
  /** How often the commonest finding does. */
  readonly chance: number;
  readonly isSuspect: boolean;
}

/**
 * How well each trait alone tells the finding: each film's finding is guessed as the commonest one
 * among the other films of the same trait. Suspect where the lower bound is above chance.
 */
export function shortcuts(films: readonly Taken[]): readonly Shortcut[] {
  return TRAITS.flatMap((trait) => {
    const known = films.filter(({ traits }) => traits[trait] !== null);
    if (new Set(known.map(({ traits }) => traits[trait])).size < 2) return [];
    const all = countsOf(known);
    const groups = new Map<string, Map<string, number>>();
    for (const film of known) {
      const value = film.traits[trait] as string;
      groups.set(value, countsOf([film], groups.get(value)));
    }
    const guessed = known.filter((film) => {
      const counts = new Map(groups.get(film.traits[trait] as string));
      counts.set(film.truth, (counts.get(film.truth) ?? 0) - 1);
      const best = commonest(counts);
      // Alone with its trait, a film is guessed as the rest of them all are.
      return (best ?? commonest(without(all, film.truth))) === film.truth;
    });
    const right = share(guessed.length, known.length);
    if (!right) return [];
    const chance = Math.max(...all.values()) / known.length;
    return [{ trait, right, chance, isSuspect: right.lower > chance }];
  });
}

function countsOf(films: readonly Taken[], into = new Map<string, number>()): Map<string, number> {
  for (const { truth } of films) into.set(truth, (into.get(truth) ?? 0) + 1);
  return into;
}

const without = (counts: ReadonlyMap<string, number>, truth: string): Map<string, number> =>
  new Map(counts).set(truth, (counts.get(truth) ?? 0) - 1);

function commonest(counts: ReadonlyMap<string, number>): string | null {
  let best: string | null = null;
  for (const [name, count] of counts) {
    if (count > 0 && (best === null || count > (counts.get(best) ?? 0))) best = name;
  }
  return best;
}
