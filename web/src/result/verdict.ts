import type { Finding, ImageAnswer } from "../api/types";

/** Every disease that a model was not asked about. */
const REST = "other";
/** A reason of the page's own: the service called a finding that another one outdoes. */
export const NOT_MOST_PROBABLE = "page:not-most-probable";

/**
 * What the page says of an image.
 *
 * `negative` is a model's "other": none of `sought` is seen, and nothing else was judged.
 */
export type Verdict =
  | { readonly kind: "refer"; readonly reasons: readonly string[] }
  | { readonly kind: "normal" | "found"; readonly label: string }
  | { readonly kind: "negative"; readonly label: string; readonly sought: readonly string[] };

/** What the service decided, of an image or of a series. */
export type Decided = Pick<ImageAnswer, "decision" | "reasons" | "findings">;

/** A call below the most probable finding is no decision: it is referred, whatever the service says. */
export function verdictOf({ decision, reasons, findings }: Decided): Verdict {
  if (decision === "refer") return { kind: "refer", reasons };
  const called = findings.find(({ label }) => label === decision);
  if (called && findings.some(({ probability }) => probability > called.probability)) {
    return { kind: "refer", reasons: [NOT_MOST_PROBABLE] };
  }
  if (decision === REST) return { kind: "negative", label: decision, sought: soughtOf(findings) };
  return { kind: decision === "normal" ? "normal" : "found", label: decision };
}

/** Whether the page refers an image that the service called something. */
export const isOverruled = (image: ImageAnswer): boolean =>
  image.decision !== "refer" && verdictOf(image).kind === "refer";

/** What a model looks for, where its last class is all the rest; empty where it has no such class. */
export function soughtOf(findings: readonly Pick<Finding, "label">[]): readonly string[] {
  const labels: readonly string[] = findings.map(({ label }) => label);
  return labels.includes(REST) ? labels.filter((label) => label !== REST) : [];
}

/** What a tray, a chip and a table may sort and count by. */
export const decisionOf = (image: ImageAnswer): string => {
  const verdict = verdictOf(image);
  return verdict.kind === "refer" ? "refer" : verdict.label;
};
