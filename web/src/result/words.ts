import type { Finding } from "../api/types";
import { percent } from "../app/format";
import type { Language, Strings } from "../strings";
import { type Decided, soughtOf, type Verdict, verdictOf } from "./verdict";

export const labelName = (label: string, strings: Strings): string =>
  strings.labels[label] ?? label;

/** A verdict as the reader sees it, in few words. */
export function verdictWord(verdict: Verdict, strings: Strings): string {
  if (verdict.kind === "refer") return strings.result.refer;
  if (verdict.kind !== "negative") return labelName(verdict.label, strings);
  return strings.result.negative(verdict.sought.map((label) => labelName(label, strings)));
}

/** A decision, and how probable the finding is that was called. */
export function decidedWords(decided: Decided, strings: Strings, language: Language): string {
  const verdict = verdictOf(decided);
  const word = verdictWord(verdict, strings);
  if (verdict.kind === "refer") return word;
  const finding = decided.findings.find(({ label }) => label === verdict.label);
  return finding ? `${word} ${percent(finding.probability, language)}` : word;
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
