import { expect, it } from "vitest";
import { scrollFor, visibleSpan } from "./virtual";

it("draws the rows on screen and a few to spare", () => {
  expect(visibleSpan(400, 68, 68 * 100, 680)).toEqual({ first: 96, end: 114 });
});

it("draws no more rows than there are", () => {
  expect(visibleSpan(3, 68, 0, 680)).toEqual({ first: 0, end: 3 });
  expect(visibleSpan(0, 68, 0, 680)).toEqual({ first: 0, end: 0 });
});

it("draws nothing before the row height is known", () => {
  expect(visibleSpan(400, 0, 0, 680)).toEqual({ first: 0, end: 0 });
});

it("draws the last rows where the list has become shorter than its scroll", () => {
  expect(visibleSpan(5, 68, 68 * 300, 680)).toEqual({ first: 5, end: 5 });
});

it("scrolls no further than a row needs", () => {
  expect(scrollFor(10, 50, 0, 200)).toBe(350);
  expect(scrollFor(0, 50, 120, 200)).toBe(0);
  expect(scrollFor(3, 50, 100, 200)).toBeNull();
});
