import { expect, it } from "vitest";
import { arranged, counted, mayPass } from "./worklist";

const row = (path: string, group: string) => ({ path, group: { value: group } });
const ROWS = [
  row("b/10.png", "normal"),
  row("b/9.png", "refer"),
  row("a.png", "pneumonia"),
  row("c.png", "failed"),
  row("d.png", "refer"),
  row("e.png", "open"),
];
const paths = (rows: readonly { readonly path: string }[]) => rows.map(({ path }) => path);

it("what needs a person comes first, and equals stay as they came", () => {
  expect(paths(arranged(ROWS, null, "refer"))).toEqual([
    "b/9.png",
    "d.png",
    "c.png",
    "a.png",
    "b/10.png",
    "e.png",
  ]);
});

it("file names are ordered as people count", () => {
  expect(paths(arranged(ROWS, null, "name")).slice(0, 3)).toEqual(["a.png", "b/9.png", "b/10.png"]);
});

it("a filter leaves one decision", () => {
  expect(paths(arranged(ROWS, "refer", "added"))).toEqual(["b/9.png", "d.png"]);
  expect(counted(ROWS)[0]).toEqual(["refer", 2]);
});

it.each([
  ["corrupt-image", false],
  ["not-an-image", false],
  ["out-of-memory", true],
  ["page:broken", true],
])("%s may pass: %s", (type, passes) => {
  expect(mayPass({ type })).toBe(passes);
});
