import { expect, it } from "vitest";
import { outline } from "./lungs";

const SIDE = 8;

/** A mask, one letter for each pixel: `#` is lung. */
function drawn(rows: readonly string[]): string[] {
  const rgba = new Uint8ClampedArray(SIDE * SIDE * 4);
  rows.forEach((row, y) => {
    [...row].forEach((letter, x) => {
      rgba.fill(letter === "#" ? 255 : 0, (y * SIDE + x) * 4, (y * SIDE + x) * 4 + 4);
    });
  });
  outline(rgba, SIDE, SIDE);
  return rows.map((_, y) =>
    [...(rows[y] as string)].map((_, x) => (rgba[(y * SIDE + x) * 4 + 3] ? "#" : ".")).join(""),
  );
}

it("draws the edge of a lung and nothing of its inside", () => {
  expect(
    drawn([
      "........",
      ".######.",
      ".######.",
      ".######.",
      ".######.",
      "........",
      "........",
      "........",
    ]),
  ).toEqual([
    "........",
    ".######.",
    ".#....#.",
    ".#....#.",
    ".######.",
    "........",
    "........",
    "........",
  ]);
});

it("leaves open where the image's edge cuts a lung off", () => {
  expect(
    drawn([
      "####....",
      "####....",
      "####....",
      "........",
      "........",
      "........",
      "........",
      "........",
    ]),
  ).toEqual([
    "...#....",
    "...#....",
    "####....",
    "........",
    "........",
    "........",
    "........",
    "........",
  ]);
});
