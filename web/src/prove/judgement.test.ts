import { expect, it } from "vitest";
import type { Case } from "./cases";
import { judge } from "./judgement";

const LABELS = ["normal", "pneumonia"];

function films(truth: string, count: number, probability: number, model = truth): Case[] {
  return Array.from({ length: count }, (_, at) => ({
    sha256: `${truth}-${model}-${at}`,
    patient: `${truth}-${model}-${at}`,
    truth,
    reader: null,
    again: null,
    ms: null,
    model,
    probabilities: { normal: 1 - probability, pneumonia: probability },
  }));
}

it("a model that tells apart and answers right is fit", () => {
  const cases = [...films("normal", 40, 0.1), ...films("pneumonia", 40, 0.9)];

  expect(judge(cases, LABELS)).toMatchObject({ kind: "fit", accuracy: { value: 1 } });
});

it("too few of a finding come before any figure", () => {
  const cases = [...films("normal", 10, 0.1), ...films("pneumonia", 40, 0.9)];

  expect(judge(cases, LABELS)).toEqual({ kind: "more", needed: [["normal", 20]] });
});

it("where one finding alone occurs the others are needed", () => {
  expect(judge(films("normal", 50, 0.1), LABELS)).toEqual({
    kind: "more",
    needed: [["pneumonia", 30]],
  });
});

it("labels that the model ranks upside down are probably swapped", () => {
  const cases = [
    ...films("normal", 40, 0.9, "pneumonia"),
    ...films("pneumonia", 40, 0.1, "normal"),
  ];

  expect(judge(cases, LABELS).kind).toBe("swapped");
});

it("a model that cannot tell apart is not fit", () => {
  const cases = [
    ...films("normal", 20, 0.1),
    ...films("normal", 20, 0.9, "pneumonia"),
    ...films("pneumonia", 20, 0.9),
    ...films("pneumonia", 20, 0.1, "normal"),
  ];

  expect(judge(cases, LABELS)).toMatchObject({ kind: "unfit", auroc: { value: 0.5 } });
});

it("a model that tells apart but calls wrongly is not fit either", () => {
  const cases = [...films("normal", 40, 0.6, "pneumonia"), ...films("pneumonia", 40, 0.9)];

  expect(judge(cases, LABELS)).toMatchObject({ kind: "unfit", auroc: { value: 1 } });
});

it("one that refers everything is silent, and without truth there is no verdict", () => {
  const referred = [
    ...films("normal", 40, 0.4, "undecided"),
    ...films("pneumonia", 40, 0.6, "undecided"),
  ];

  expect(judge(referred, LABELS).kind).toBe("silent");
  expect(
    judge(
      referred.map((one) => ({ ...one, truth: null })),
      LABELS,
    ).kind,
  ).toBe("no-truth");
});
