import { expect, it } from "vitest";
import { besideLimits, decimal, metricValue, percent } from "./format";

it.each([
  ["auroc", 0.98566, "0.986"],
  ["ece", 0, "0.000"],
  ["true_positives", 1384, "1,384"],
  ["false_negatives", 6, "6"],
])("the figure %s of %d is shown as %s", (name, value, shown) => {
  expect(metricValue(name, value, "en")).toBe(shown);
});

it.each([
  [0.259625, [0.26], "en", ["0.2596", "0.26"]],
  [0.259625, [0.26], "es", ["0,2596", "0,26"]],
  [0.41, [0.26], "en", ["0.41", "0.26"]],
  [0.26, [0.26], "en", ["0.26", "0.26"]],
  [1.54612, [0.2, 1.54609], "en", ["1.54612", "0.2", "1.54609"]],
] as const)(
  "%d beside %j is written in %s with digits that differ",
  (value, limits, language, shown) => {
    expect(besideLimits(decimal, value, limits, language, 3)).toEqual(shown);
  },
);

it.each([
  [0.49996, 0.5, ["49.996%", "50.000%"]],
  [0.4, 0.5, ["40.0%", "50.0%"]],
  [0.0001, 0.0002, ["0.01%", "0.02%"]],
])("a probability of %d beside a threshold of %d is written as %j", (value, limit, shown) => {
  expect(besideLimits(percent, value, [limit], "en", 1)).toEqual(shown);
});

it.each([
  [0.0001, 1, "< 0.1%"],
  [0.99999, 1, "> 99.9%"],
  [0.00001, 2, "< 0.01%"],
  [1, 0, "100%"],
])("a probability of %d with %d digits is shown as %s", (value, digits, shown) => {
  expect(percent(value, "en", digits)).toBe(shown);
});
