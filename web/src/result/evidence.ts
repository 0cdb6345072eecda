import type { Metric, ModelDescription } from "../api/types";

/** Of `called` held-out images that a model called a finding, `right` had it. */
export interface Evidence {
  readonly called: number;
  readonly right: number;
}

/**
 * How often a call was right on a model's held-out images, in whole images.
 *
 * Counts are taken where the card has them. Otherwise they follow from the finding's sensitivity
 * and precision, and from how many images have it, which is what its share of referrals is of.
 *
 * @returns null where the figures do not tell.
 */
export function evidenceOf(metrics: readonly Metric[], label: string): Evidence | null {
  const own = metrics.filter((metric) => metric.label === label && metric.source === null);
  const find = (name: string) => own.find((metric) => metric.name === name);
  const [hits, misses] = [find("true_positives"), find("false_positives")];
  if (hits && misses) return checked(hits.value + misses.value, hits.value);
  const [sensitivity, precision, referred] = [
    find("sensitivity"),
    find("precision"),
    find("refer_share"),
  ];
  if (!sensitivity || !precision || !referred || precision.value <= 0) return null;
  // A share of all images would say nothing of how many have the finding.
  if (referred.images >= sensitivity.images) return null;
  const right = Math.round(sensitivity.value * referred.images);
  return checked(right / precision.value, right);
}

/** What is counted, in whole images; null where that is nothing. */
export function checked(called: number, right: number): Evidence | null {
  const whole = Math.round(called);
  return whole > 0 && right <= whole ? { called: whole, right: Math.round(right) } : null;
}

/** How often the answered were right at the site that the model was commissioned at. */
export const siteAccuracy = ({ metrics, site }: ModelDescription): Metric | null =>
  metrics.find(({ name, dataset }) => name === "accuracy_answered" && dataset === site?.name) ??
  null;
