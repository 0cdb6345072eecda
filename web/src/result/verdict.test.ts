import { expect, it } from "vitest";
import type { ImageAnswer } from "../api/types";
import { verdictOf } from "./verdict";

const image = (decision: string, probabilities: Record<string, number>, reasons: string[] = []) =>
  ({
    decision,
    reasons,
    findings: Object.entries(probabilities).map(([label, probability]) => ({
      label,
      probability,
      operating_point: 0.2,
      present: probability > 0.2,
    })),
  }) as unknown as ImageAnswer;

it("a call below the most probable finding is referred", () => {
  const verdict = verdictOf(image("covid-19", { normal: 0.43, "covid-19": 0.3 }));

  expect(verdict).toEqual({ kind: "refer", reasons: ["page:not-most-probable"] });
});

it("the most probable finding is a decision", () => {
  const verdict = verdictOf(image("covid-19", { normal: 0.3, "covid-19": 0.43 }));

  expect(verdict).toEqual({ kind: "found", label: "covid-19" });
});

it("one against the rest says what was looked for, and no disease by the name of other", () => {
  const verdict = verdictOf(image("other", { other: 0.9, "covid-19": 0.1 }));

  expect(verdict).toEqual({ kind: "negative", label: "other", sought: ["covid-19"] });
});

it("a referral keeps its reasons", () => {
  const verdict = verdictOf(image("refer", { normal: 0.5 }, ["quality.exposure"]));

  expect(verdict).toEqual({ kind: "refer", reasons: ["quality.exposure"] });
});
