import type { Strings } from "../strings";

const QUALITY = "quality.";

/** A referral's stable code in words. */
export function reasonText(code: string, strings: Strings): string {
  if (code.startsWith(QUALITY)) {
    const check = code.slice(QUALITY.length);
    return strings.reasons.quality(strings.checks[check] ?? check.replaceAll("_", " "));
  }
  if (code === "uncertain" || code === "out_of_distribution") return strings.reasons[code];
  return strings.reasons.other(code);
}
