import { expect, it } from "vitest";
import type { Metric } from "../api/types";
import { evidenceOf } from "./evidence";

const metric = (
  name: string,
  value: number,
  images: number,
  more: Partial<Metric> = {},
): Metric => ({
  dataset: "test",
  name,
  value,
  lower: value,
  upper: value,
  images,
  label: "covid-19",
  source: null,
  ...more,
});

it("counts are taken as they are", () => {
  const metrics = [metric("true_positives", 46, 500), metric("false_positives", 22, 500)];

  expect(evidenceOf(metrics, "covid-19")).toEqual({ called: 68, right: 46 });
});

it("shares become whole images", () => {
  const metrics = [
    metric("sensitivity", 51 / 61, 833),
    metric("precision", 51 / 87, 833),
    metric("refer_share", 0.115, 61),
  ];

  expect(evidenceOf(metrics, "covid-19")).toEqual({ called: 87, right: 51 });
});

it.each([
  ["another finding", [metric("true_positives", 4, 9, { label: "normal" })]],
  ["one source alone", [metric("sensitivity", 0.8, 109, { source: "one" })]],
  ["no figures", []],
  [
    "a precision that nothing was called for",
    [metric("sensitivity", 0, 833), metric("precision", 0, 833), metric("refer_share", 0.1, 61)],
  ],
])("%s gives no evidence", (_, metrics) => {
  expect(evidenceOf(metrics, "covid-19")).toBeNull();
});
