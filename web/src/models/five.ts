import type { Metric, ModelDescription } from "../api/types";

/** The figures that tell most about a model. Of several findings the mean is an AUROC too. */
const GROUPS: readonly (readonly string[])[] = [
  ["auroc", "macro_auroc"],
  ["accuracy_answered"],
  ["refer_share"],
  ["sensitivity"],
  ["specificity"],
];

/** Whether a figure is another kind than its column's, so that its name must stand with it. */
export const isStandIn = ({ name }: Metric): boolean => !GROUPS.some(([first]) => first === name);

export type Five = readonly (Metric | null)[];

/** One figure of each group over all findings and sources; null where the model has none. */
export function fiveOf({ metrics }: Pick<ModelDescription, "metrics">): Five {
  const overall = metrics.filter(({ label, source }) => label === null && source === null);
  return GROUPS.map((names) => {
    const found = names.map((name) => overall.find((metric) => metric.name === name));
    return found.find((metric) => metric !== undefined) ?? null;
  });
}
