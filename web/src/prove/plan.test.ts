import { expect, it } from "vitest";
import { planOf } from "./plan";

const films = Array.from({ length: 100 }, (_, at) => `film-${at}`);

it("shows every film once and a tenth of them twice", () => {
  const plan = planOf(films, 7);

  expect(plan).toHaveLength(110);
  expect(new Set(plan.map(({ sha256 }) => sha256)).size).toBe(100);
  expect(plan.filter(({ isRepeat }) => isRepeat)).toHaveLength(10);
});

it("a film comes again only after others", () => {
  const plan = planOf(films, 3);
  for (const [at, place] of plan.entries()) {
    if (!place.isRepeat) continue;
    const before = plan.findIndex(({ sha256 }) => sha256 === place.sha256);

    expect(at - before).toBeGreaterThan(10);
  }
});

it("the order is a seed's, whatever order the films were dropped in", () => {
  expect(planOf([...films].reverse(), 5)).toEqual(planOf(films, 5));
  expect(planOf(films, 6)).not.toEqual(planOf(films, 5));
});

it.each([1, 2, 5])("%d films make a trial", (count) => {
  const plan = planOf(films.slice(0, count), 1);

  expect(plan.filter(({ isRepeat }) => !isRepeat)).toHaveLength(count);
});
