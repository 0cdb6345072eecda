import { expect, it } from "vitest";
import type { Metric } from "../api/types";
import { fiveOf, isStandIn } from "./five";

const metric = (name: string, more: Partial<Metric> = {}): Metric => ({
  dataset: "d",
  name,
  value: 0.9,
  lower: 0.8,
  upper: 1,
  images: 10,
  label: null,
  source: null,
  ...more,
});

it("takes the figure over all findings and sources, and its stand-in where there is none", () => {
  const metrics = [
    metric("auroc", { label: "normal" }),
    metric("macro_auroc"),
    metric("macro_auroc", { source: "one" }),
    metric("refer_share"),
    metric("balanced_accuracy"),
  ];

  const five = fiveOf({ metrics });

  expect(five.map((found) => found?.name ?? null)).toEqual([
    "macro_auroc",
    null,
    "refer_share",
    "balanced_accuracy",
    null,
  ]);
  expect(five.map((found) => found && isStandIn(found))).toEqual([true, null, false, true, null]);
});
