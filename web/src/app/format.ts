import type { Language } from "../strings";

/** A probability as a percentage; never a rounded 0 % or 100 %, which no model can mean. */
export function percent(probability: number, language: Language, digits = 1): string {
  const format = new Intl.NumberFormat(language, {
    style: "percent",
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  // A share of counted images may well be all or none of them.
  if (digits === 0) return format.format(probability);
  const least = 10 ** -(digits + 2);
  if (probability < least / 2) return `< ${format.format(least)}`;
  if (probability > 1 - least / 2) return `> ${format.format(1 - least)}`;
  return format.format(probability);
}

export const decimal = (value: number, language: Language, digits = 3): string =>
  new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);

/**
 * A value and the limits that it is held against, with as many digits as show on which side it lies:
 * 0.2596 is less than 0.26, and is not written as 0.26.
 *
 * @param write `decimal` or `percent`.
 * @param digits The fewest.
 */
export function besideLimits(
  write: (value: number, language: Language, digits: number) => string,
  value: number,
  limits: readonly number[],
  language: Language,
  digits: number,
): readonly [string, ...string[]] {
  const own = write(value, language, digits);
  const others = limits.map((limit) => write(limit, language, digits));
  const isClear = others.every((other, at) => other !== own || limits[at] === value);
  return isClear ? [own, ...others] : besideLimits(write, value, limits, language, digits + 1);
}

const COUNT = /^((true|false)_(positives|negatives)|images)$/;

/** A measured figure: a count is a whole number, everything else has three places. */
export function metricValue(name: string, value: number, language: Language): string {
  const places = COUNT.test(name) ? 0 : 3;
  return new Intl.NumberFormat(language, {
    minimumFractionDigits: places,
    maximumFractionDigits: places,
  }).format(value);
}

export function milliseconds(value: number, language: Language): string {
  return value >= 1000
    ? `${decimal(value / 1000, language, 2)} s`
    : `${decimal(value, language, value < 10 ? 1 : 0)} ms`;
}

export function fileSize(bytes: number, language: Language): string {
  const mebibytes = bytes / 1024 / 1024;
  return mebibytes >= 1
    ? `${decimal(mebibytes, language, 1)} MB`
    : `${decimal(Math.max(1, bytes / 1024), language, 0)} kB`;
}

/** A digest's first characters: enough to compare by eye. */
export const shortDigest = (digest: string): string =>
  `${digest.replace("sha256:", "").slice(0, 12)}…`;

export const day = (iso: string, language: Language): string =>
  new Intl.DateTimeFormat(language, { dateStyle: "medium" }).format(new Date(iso));
