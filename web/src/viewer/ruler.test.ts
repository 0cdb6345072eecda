import { expect, it } from "vitest";
import type { DicomFacts } from "../images/types";
import { lengthOf } from "./Ruler";

const LINE = { from: { x: 10, y: 10 }, to: { x: 13, y: 14 } };
const facts = (spacingMm: readonly [number, number] | null, isAtDetector = false) =>
  ({ spacingMm, isAtDetector }) as DicomFacts;

it("rows and columns may be apart by different lengths", () => {
  expect(lengthOf(LINE, facts([2, 5]))).toEqual({ length: 17, unit: "mm" });
});

it("a length on the detector is called one, and without spacing it is counted in pixels", () => {
  expect(lengthOf(LINE, facts([1, 1], true))).toEqual({ length: 5, unit: "detector" });
  expect(lengthOf(LINE, facts(null))).toEqual({ length: 5, unit: "px" });
  expect(lengthOf(LINE, null)).toEqual({ length: 5, unit: "px" });
});
