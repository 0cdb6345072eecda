import { describe, expect, it } from "vitest";
import type { Answer } from "../reading/send";
import { createStudy } from "../session/study";
import { batchCsv, cell, csvCount } from "./csv";

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

    const lines = batchCsv([read, failed, waiting]).split("\r\n");

    expect(csvCount([read, failed, waiting])).toBe(2);
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/^\uFEFFfile,status,decision,.*,probability_normal,/);
    expect(lines[1]).toMatch(
      /^one\/a\.jpg,ok,refer,uncertain,xray,2,sha256:ab,.*,0\.25,0\.5,false,,,,$/,
    );
    expect(lines[2]).toMatch(/^b\.jpg,error,.*,corrupt-image,"cut, off",,,,,,,$/);
  });

  it("has columns for the labels of all its models", () => {
    const [one, other] = [study("a.jpg"), study("b.jpg")];
    one.state.value = { kind: "done", answer: answer("normal") };
    other.state.value = { kind: "done", answer: answer("covid-19") };

    const [head] = batchCsv([one, other]).split("\r\n");

    expect(head).toContain("probability_normal");
    expect(head).toContain("probability_covid-19");
  });
});
