import type { ImageAnswer, QualityCheck } from "../api/types";
import type { Strings } from "../strings";
import { NOT_MOST_PROBABLE } from "./verdict";
import { findingName } from "./words";

const QUALITY = "quality.";

/** Why an image is referred, and what to do about it. `advice` may be in the service's English. */
export interface Failure {
  readonly what: string;
  readonly advice: string | null;
  readonly isForeign: boolean;
}

/** An image, or a series, which has findings and reasons alone. */
type Doubted = Pick<ImageAnswer, "findings" | "reasons"> &
  Partial<Pick<ImageAnswer, "evidence" | "image" | "quality">>;

/** A referral's stable code as a failure of the image, in the reader's words. */
export function failureOf(code: string, image: Doubted, strings: Strings): Failure {
  const plain = (what: string): Failure => ({ what, advice: null, isForeign: false });
  if (code === NOT_MOST_PROBABLE) return plain(strings.reasons.not_most_probable);
  if (code === "no_evidence") {
    // What is like no image of the training is like no source of it.
    const isStrange = image.reasons.includes("out_of_distribution");
    const advice = isStrange ? null : likenessOf(image, strings);
    return { ...plain(strings.reasons.no_evidence), advice };
  }
  if (code === "uncertain" || code === "out_of_distribution") return plain(strings.reasons[code]);
  if (!code.startsWith(QUALITY)) return plain(strings.reasons.other(code));
  const name = code.slice(QUALITY.length);
  const check = image.quality?.checks.find((one) => one.name === name);
  const known = check && adviceOf(check, image.image?.turned, strings);
  if (known) return { what: known[0], advice: known[1], isForeign: false };
  return {
    what: strings.reasons.quality(strings.checks[name] ?? name.replaceAll("_", " ")),
    advice: check?.advice ?? null,
    isForeign: true,
  };
}

/** Which source an image is like, and what the model was shown to tell there. */
function likenessOf({ evidence, findings }: Doubted, strings: Strings): string | null {
  if (!evidence) return null;
  if (evidence.distance > 1) return strings.reasons.like_none(evidence.source);
  const told = evidence.findings.map((label) => findingName(label, findings, strings));
  return strings.reasons.told_apart(evidence.source, told);
}

/**
 * What is wrong where a check is not passed, and what to do; undefined where the page has no words.
 *
 * @param turned How the service turned the image, where it did: it need not be sent upright then.
 */
export function adviceOf(
  check: QualityCheck,
  turned: string | null | undefined,
  { advice }: Strings,
): readonly [string, string] | undefined {
  if (check.name === "rotation" && turned) return advice[`${check.name}_turned`];
  return advice[`${check.name}_${isAbove(check) ? "upper" : "lower"}`];
}

const isAbove = ({ upper, value }: QualityCheck): boolean => upper !== null && value > upper;
