import { expect, it } from "vitest";
import type { ModelDescription } from "../api/types";
import { offerOf } from "./offers";

const model = (name: string, ...modalities: string[]) =>
  ({ name, modalities }) as unknown as ModelDescription;
const MODELS = [model("four", "CR", "DX", "OT"), model("two", "CR", "DX"), model("slice", "CT")];

it("a picture that a radiograph's model finds strange may be a slice", () => {
  expect(offerOf(MODELS, "two", null, null)).toEqual({ kind: "CT", model: "slice" });
});

it("a slice's model gives way to the service's default for radiographs", () => {
  expect(offerOf(MODELS, "slice", null, "two")).toEqual({ kind: "XR", model: "two" });
});

it("a file that says what it is gets no offer of the other kind", () => {
  expect(offerOf(MODELS, "two", "DX", null)).toBeNull();
  expect(offerOf(MODELS, "two", "CT", null)).toEqual({ kind: "CT", model: "slice" });
});

it("nothing is offered where there is no such model", () => {
  expect(offerOf(MODELS.slice(0, 2), "two", null, null)).toBeNull();
});
