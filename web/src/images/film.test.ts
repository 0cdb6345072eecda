import { expect, it } from "vitest";
import { years } from "./dicom/facts";
import { dimensions } from "./dimensions";
import { filmRecord } from "./film";

it.each([
  ["061Y", 61],
  ["018M", 1],
  ["005D", 0],
  ["sixty", null],
  [null, null],
])("an age of %s is %s years", (age, expected) => {
  expect(years(age)).toBe(expected);
});

const PNG = Uint8Array.from([
  0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52, 0, 0, 1, 44,
  0, 0, 0, 200, 8, 0, 0, 0, 0,
]);
const JPEG = Uint8Array.from([
  0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xc0, 0, 11, 8, 0, 200, 1, 44, 1, 1, 0x11, 0,
]);

it.each([
  ["PNG", PNG],
  ["JPEG", JPEG],
])("a %s tells its size by its header", (_, bytes) => {
  expect(dimensions(bytes)).toBe("300 × 200");
});

it("a film without DICOM is its content and its size", async () => {
  const record = await filmRecord(PNG, "salt");

  expect(record.sha256).toMatch(/^[0-9a-f]{64}$/);
  expect(record).toMatchObject({ patient: null, facts: { size: "300 × 200", age: null } });
});
