import type { Finding } from "../api/types";
import type { Strings } from "../strings";
import { soughtOf, type Verdict } from "./verdict";

export const labelName = (label: string, strings: Strings): string =>
  strings.labels[label] ?? label;

/** A verdict as the reader sees it, in few words. */
export function verdictWord(verdict: Verdict, strings: Strings): string {
  if (verdict.kind === "refer") return strings.result.refer;
  if (verdict.kind !== "negative") return labelName(verdict.label, strings);
  return strings.result.negative(verdict.sought.map((label) => labelName(label, strings)));
}

/** A finding by its name; a model's "other" by what it is not. */
export function findingName(
  label: string,
  findings: readonly Pick<Finding, "label">[],
  strings: Strings,
): string {
  const sought = label === "other" ? soughtOf(findings) : [];
  if (sought.length === 0) return labelName(label, strings);
  return strings.result.negativeBar(sought.map((name) => labelName(name, strings)));
}
