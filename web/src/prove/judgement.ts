import { areas, type Case, summary } from "./cases";
import type { Figure } from "./statistics";

/** What commissioning asks of a model: lower bounds of its AUROC and of what it answers. */
export const FLOORS = { auroc: 0.8, accuracy: 0.85 } as const;
/** Fewer films of a finding tell too little. */
export const LEAST = 30;

export type Judgement =
  | { readonly kind: "no-truth" }
  | { readonly kind: "more"; readonly needed: readonly (readonly [string, number])[] }
  | { readonly kind: "swapped"; readonly auroc: Figure }
  | { readonly kind: "silent" }
  | { readonly kind: "fit" | "unfit"; readonly auroc: Figure; readonly accuracy: Figure };

/**
 * The verdict by the rule of commissioning.
 *
 * With more than two findings the AUROC is that of the finding, against the rest, whose lower bound
 * is least.
 */
export function judge(cases: readonly Case[], labels: readonly string[]): Judgement {
  const judged = cases.filter(({ truth, model }) => truth !== null && model !== null);
  if (judged.length === 0) return { kind: "no-truth" };
  const needed = neededOf(judged, labels);
  if (needed.length > 0) return { kind: "more", needed };
  const all = areas(judged, labels);
  const worst = all.reduce((a, b) => (b.lower < a.lower ? b : a));
  if (all.every(({ upper }) => upper < 0.5)) return { kind: "swapped", auroc: worst };
  const { accuracy } = summary(judged, "model");
  if (accuracy === null) return { kind: "silent" };
  const isFit = worst.lower >= FLOORS.auroc && accuracy.lower >= FLOORS.accuracy;
  return { kind: isFit ? "fit" : "unfit", auroc: worst, accuracy };
}

/** How many more of which finding; where one alone occurs, so many of all others together. */
function neededOf(
  judged: readonly Case[],
  labels: readonly string[],
): readonly (readonly [string, number])[] {
  const count = (label: string) => judged.filter(({ truth }) => truth === label).length;
  const occurring = labels.filter((label) => count(label) > 0);
  const asked = occurring.length > 1 ? occurring : labels;
  return asked.flatMap((label) => {
    const missing = LEAST - count(label);
    return missing > 0 ? [[label, missing] as const] : [];
  });
}
