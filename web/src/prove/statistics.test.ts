import { expect, it } from "vitest";
import { auroc, kappa, median, share } from "./statistics";

const scored = (positive: number[], negative: number[]) => [
  ...positive.map((score, at) => ({ score, has: true, patient: `p${at}` })),
  ...negative.map((score, at) => ({ score, has: false, patient: `n${at}` })),
];

it("a share has Wilson's interval", () => {
  // Newcombe 1998, table I, method 3: 81 of 263.
  const figure = share(81, 263);

  expect(figure?.value).toBeCloseTo(0.308, 3);
  expect(figure?.lower).toBeCloseTo(0.2553, 4);
  expect(figure?.upper).toBeCloseTo(0.3662, 4);
});

it("a share of all still has a width, and of fewer patients a greater one", () => {
  expect(share(30, 30)?.lower).toBeCloseTo(0.8865, 4);
  expect(share(30, 30, 10)?.lower).toBeCloseTo(0.7225, 4);
  expect(share(0, 0)).toBeNull();
});

it("the area counts pairs, and ties by half", () => {
  expect(auroc(scored([3, 2], [1, 2]))?.value).toBe(0.875);
  expect(auroc(scored([1], []))).toBeNull();
});

it("a perfect area of few films is not sure to be perfect", () => {
  const few = auroc(scored([2, 2, 2, 2, 2], [1, 1, 1, 1, 1]));
  const many = auroc(scored(Array(100).fill(2), Array(100).fill(1)));

  expect(few?.value).toBe(1);
  expect(few?.lower).toBeLessThan(0.8);
  expect(few?.upper).toBe(1);
  expect(many?.lower).toBeGreaterThan(0.97);
});

it("many films of few patients are no more sure than so many patients", () => {
  const films = scored([2, 2, 2, 0, 2, 2], [1, 1, 1, 1, 1, 1]);
  const ofTwo = films.map((film, at) => ({ ...film, patient: `${film.has}${at % 2}` }));

  expect(auroc(ofTwo)?.lower).toBeLessThan(auroc(films)?.lower ?? 0);
});

it("kappa and its standard error are those of the textbook", () => {
  // 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: 0.7 agreed, 0.5 by chance.
  const pairs = [
    ...Array(20).fill(["y", "y"]),
    ...Array(5).fill(["y", "n"]),
    ...Array(10).fill(["n", "y"]),
    ...Array(15).fill(["n", "n"]),
  ];

  const figure = kappa(pairs);

  expect(figure?.value).toBeCloseTo(0.4, 10);
  expect(figure?.lower).toBeCloseTo(0.15, 2);
  expect(figure?.upper).toBeCloseTo(0.65, 2);
});

it("who always says the same thing has no kappa", () => {
  expect(kappa(Array(9).fill(["a", "a"]))).toBeNull();
});

it.each([
  [[3, 1, 2], 2],
  [[4, 1, 2, 3], 2.5],
])("the median of %j is %d", (values, middle) => {
  expect(median(values)).toBe(middle);
  expect(median([])).toBeNull();
});
