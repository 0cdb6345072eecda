import type { ImageAnswer, QualityCheck } from "../api/types";
import type { Strings } from "../strings";
import { NOT_MOST_PROBABLE } from "./verdict";

const QUALITY = "quality.";

/** Why an image is referred, and what to do about it. `advice` may be in the service's English. */
export interface Failure {
  readonly what: string;
  readonly advice: string | null;
  readonly isForeign: boolean;
}

/** A referral's stable code as a failure of the image, in the reader's words. */
export function failureOf(
  code: string,
  image: Partial<Pick<ImageAnswer, "evidence" | "quality">>,
  strings: Strings,
): Failure {
  const plain = (what: string): Failure => ({ what, advice: null, isForeign: false });
  if (code === NOT_MOST_PROBABLE) return plain(strings.reasons.not_most_probable);
  if (code === "no_evidence") {
    const advice = image.evidence?.sentence ?? null;
    return { what: strings.reasons.no_evidence, advice, isForeign: true };
  }
  if (code === "uncertain" || code === "out_of_distribution") return plain(strings.reasons[code]);
  if (!code.startsWith(QUALITY)) return plain(strings.reasons.other(code));
  const name = code.slice(QUALITY.length);
  const check = image.quality?.checks.find((one) => one.name === name);
  const known = check && strings.advice[`${name}_${isAbove(check) ? "upper" : "lower"}`];
  if (known) return { what: known[0], advice: known[1], isForeign: false };
  return {
    what: strings.reasons.quality(strings.checks[name] ?? name.replaceAll("_", " ")),
    advice: check?.advice ?? null,
    isForeign: true,
  };
}

export const isAbove = ({ upper, value }: QualityCheck): boolean => upper !== null && value > upper;
