import { expect, it } from "vitest";
import { arranged, counted, mayPass, seriesOf } from "./worklist";

const row = (path: string, group: string, seriesUid: string | null = null, number = 0) => ({
  path,
  group: { value: group },
  facts: { value: seriesUid ? { seriesUid, instanceNumber: number } : null },
});
const NO_SERIES = new Map();
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
  expect(paths(arranged(ROWS, null, "refer", NO_SERIES))).toEqual([
    "b/9.png",
    "d.png",
    "c.png",
    "a.png",
    "b/10.png",
    "e.png",
  ]);
});

it("file names are ordered as people count", () => {
  expect(paths(arranged(ROWS, null, "name", NO_SERIES)).slice(0, 3)).toEqual([
    "a.png",
    "b/9.png",
    "b/10.png",
  ]);
});

it("a filter leaves one decision", () => {
  expect(paths(arranged(ROWS, "refer", "added", NO_SERIES))).toEqual(["b/9.png", "d.png"]);
  expect(counted(ROWS)[0]).toEqual(["refer", 2]);
});

it("a series stands together where its first image came, in the order of its numbers", () => {
  const rows = [
    row("3.dcm", "normal", "1.2", 3),
    row("film.png", "normal"),
    row("1.dcm", "refer", "1.2", 1),
    row("other.dcm", "normal", "1.9", 1),
    row("2.dcm", "normal", "1.2", 2),
  ];

  const series = seriesOf(rows);

  expect([...series.keys()]).toEqual(["1.2"]);
  expect(paths(arranged(rows, null, "added", series))).toEqual([
    "1.dcm",
    "2.dcm",
    "3.dcm",
    "film.png",
    "other.dcm",
  ]);
  expect(paths(arranged(rows, "normal", "added", series))[0]).toEqual("2.dcm");
});

it.each([
  ["corrupt-image", false],
  ["not-an-image", false],
  ["out-of-memory", true],
  ["page:broken", true],
])("%s may pass: %s", (type, passes) => {
  expect(mayPass({ type, status: 0 }, null)).toBe(passes);
});

it.each([
  ["the modality is CT, the model is the same", "The modality is CT.", "xray", false],
  ["the modality is CT, the model is another", "The modality is CT.", "ct", true],
  ["the modality is CT, the service chooses now", "The modality is CT.", null, true],
  ["the view is lateral", "The view is lateral, as View Position says.", "ct", false],
  ["it is raw", "The image is FOR PROCESSING, as its header says.", "ct", false],
])("what a model does not take may pass where another can: %s", (_, detail, model, passes) => {
  const problem = { type: "unsuitable-image", status: 422, detail, askedModel: "xray" };

  expect(mayPass(problem, model)).toBe(passes);
});
