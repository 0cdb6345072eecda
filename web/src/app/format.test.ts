import { expect, it } from "vitest";
import { metricValue } from "./format";

it.each([
  ["auroc", 0.98566, "0.986"],
  ["ece", 0, "0.000"],
  ["true_positives", 1384, "1,384"],
  ["false_negatives", 6, "6"],
])("the figure %s of %d is shown as %s", (name, value, shown) => {
  expect(metricValue(name, value, "en")).toBe(shown);
});
