import { describe, expect, it } from "vitest";
import type { Answer } from "../reading/send";
import { createStudy, type SeriesRead } from "../session/study";
import { batchCsv, batchJson, cell, csvCount } from "./csv";

const answer = (label: string): Answer => ({
  body: {
    id: "0199",
    model: { name: "xray", version: 2, digest: "sha256:ab", intended_use: "Research only." },
    execution_provider: "CPUExecutionProvider",
    precision: "fp32",
    results: [],
    timing_ms: { decode: 1, queue: 1, inference: 1, total: 5.5 },
  },
  image: {
    file: null,
    image: { format: "JPEG", frame: 1, frames: 1, rows: 10, columns: 10 },
    model: { name: "xray", version: 2, digest: "sha256:ab", intended_use: "Research only." },
    sha256: "cd",
    status: "ok",
    decision: "refer",
    reasons: ["uncertain"],
    findings: [
      {
        label: label as "normal",
        code: { system: "s", code: "c" },
        probability: 0.25,
        operating_point: 0.5,
        present: false,
      },
    ],
  },
  model: { name: "xray", version: 2, digest: "sha256:ab", intended_use: "Research only." },
  heatmap: null,
  lungs: null,
  asked: { model: null, frame: 1 },
  requestId: null,
});

const study = (path: string) =>
  createStudy(1, { file: new File(["x"], "image"), path, format: "jpeg" });

const series = (...paths: readonly string[]): SeriesRead => {
  const slices = paths.map(study);
  return {
    slices,
    sent: slices,
    answer: {
      decision: "covid-19",
      reasons: [],
      findings: [
        {
          label: "covid-19",
          code: { system: "s", code: "c" },
          probability: 0.75,
          operating_point: 0.5,
          present: true,
        },
      ],
      model: { name: "ct", version: 3, digest: "sha256:ef", intended_use: "Research only." },
      rule: "mean",
      sentence: "The mean of the slices.",
      series_instance_uid: "1.2",
      slices: slices.map((_, at) => at),
      left_out: [1],
    },
  };
};

/** The rows of a table without quoted cells, by the names of its columns. */
function table(csv: string): readonly Partial<Record<string, string>>[] {
  const [head = "", ...rows] = csv.slice(1).trimEnd().split("\r\n");
  const names = head.split(",");
  return rows.map((row) =>
    Object.fromEntries(row.split(",").map((value, at) => [names[at] ?? "", value])),
  );
}

describe("a cell", () => {
  it.each([
    ["plain", "plain"],
    ['a "b", c', '"a ""b"", c"'],
    ["=1+1", "'=1+1"],
    ["@cmd", "'@cmd"],
    ["-x, y", '"\'-x, y"'],
    [null, ""],
    [-0.5, "-0.5"],
  ])("%s is written as %s", (value, written) => {
    expect(cell(value)).toBe(written);
  });
});

describe("a batch", () => {
  it("has a line for what was read and for what could not be, and none for what waits", () => {
    const [read, failed, waiting] = [study("one/a.jpg"), study("b.jpg"), study("c.jpg")];
    read.state.value = { kind: "done", answer: answer("normal") };
    failed.state.value = {
      kind: "failed",
      problem: { type: "corrupt-image", status: 422, detail: "cut, off" },
    };

    const lines = batchCsv([read, failed, waiting], []).split("\r\n");

    expect(csvCount([read, failed, waiting])).toBe(2);
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/^\uFEFFfile,status,decision,.*,probability_normal,/);
    expect(lines[1]).toMatch(
      /^one\/a\.jpg,ok,refer,uncertain,xray,2,sha256:ab,.*,0\.25,0\.5,false,,,,,,,,,,Research only/,
    );
    expect(lines[2]).toMatch(/^b\.jpg,error,.*,corrupt-image,"cut, off",,,,,,,,,,,,,Research only/);
  });

  it("says in the last cell of each row that it is for research only", () => {
    const [read, failed] = [study("a.jpg"), study("b.jpg")];
    read.state.value = { kind: "done", answer: answer("normal") };
    failed.state.value = { kind: "failed", problem: { type: "corrupt-image", status: 422 } };

    const [head, ...rows] = batchCsv([read, failed], [series("a.jpg")])
      .trimEnd()
      .split("\r\n");

    expect(head).toMatch(/,intended_use$/);
    expect(rows).toHaveLength(3);
    for (const row of rows) expect(row).toMatch(/,Research only\. Not for diagnosis\.$/);
  });

  it("says how the service turned an image", () => {
    const read = study("a.jpg");
    const { image, ...rest } = answer("normal");
    const described = { ...image.image, turned: "turned by 180 degrees" };
    read.state.value = { kind: "done", answer: { ...rest, image: { ...image, image: described } } };

    const rows = table(batchCsv([read], []));

    expect(rows[0]?.turned).toBe("turned by 180 degrees");
  });

  it("has a row of its own kind for a series, and adds no column for it", () => {
    const slice = study("ct/1.dcm");
    slice.state.value = { kind: "done", answer: answer("covid-19") };
    const [alone] = batchCsv([slice], []).split("\r\n");

    const written = batchCsv([slice], [series("ct/1.dcm", "ct/2.dcm")]);

    expect(written.split("\r\n")[0]).toBe(alone);
    expect(table(written).map(({ status }) => status)).toEqual(["ok", "series"]);
    expect(table(written)[1]).toMatchObject({
      file: "ct/1.dcm",
      decision: "covid-19",
      model: "ct",
      version: "3",
      "probability_covid-19": "0.75",
      series_instance_uid: "1.2",
      series_slices: "2",
      series_left_out: "1",
      series_rule: "mean",
    });
  });

  it("has the series in its JSON, with the files in the order that it counts them in", () => {
    const read = series("ct/1.dcm", "ct/2.dcm");

    const rows = JSON.parse(batchJson([], [read]));

    expect(rows).toEqual([{ files: ["ct/1.dcm", "ct/2.dcm"], series: read.answer }]);
  });

  it("has columns for the labels of all its models", () => {
    const [one, other] = [study("a.jpg"), study("b.jpg")];
    one.state.value = { kind: "done", answer: answer("normal") };
    other.state.value = { kind: "done", answer: answer("covid-19") };

    const [head] = batchCsv([one, other], []).split("\r\n");

    expect(head).toContain("probability_normal");
    expect(head).toContain("probability_covid-19");
  });
});
