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

it("takes the figure over all findings and sources, and no other in its place", () => {
  const metrics = [
    metric("auroc", { label: "normal" }),
    metric("macro_auroc"),
    metric("macro_auroc", { source: "one" }),
    metric("refer_share"),
    metric("accuracy"),
    metric("balanced_accuracy"),
    metric("ece"),
    metric("sensitivity", { label: "normal" }),
  ];

  const five = fiveOf({ metrics });

  expect(five.map((found) => found?.name ?? null)).toEqual([
    "macro_auroc",
    null,
    "refer_share",
    null,
    null,
  ]);
  expect(five.map((found) => found && isStandIn(found))).toEqual([true, null, false, null, null]);
});
