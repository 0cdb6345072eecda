import { expect, it } from "vitest";
import type { QualityCheck } from "../api/types";
import { en } from "../strings/en";
import { es } from "../strings/es";
import { adviceOf } from "./reasons";

const check = (name: string): QualityCheck => ({
  name,
  value: 0.9,
  lower: null,
  upper: 0.5,
  passed: false,
  advice: "What to do.",
});

it.each([en, es])("what the service has turned need not be sent upright", (strings) => {
  const turned = adviceOf(check("rotation"), "turned by 180 degrees", strings);

  expect(turned).toEqual(strings.advice.rotation_turned);
  expect(adviceOf(check("rotation"), null, strings)).toEqual(strings.advice.rotation_upper);
});

it("of a turned image the other checks say what they say of any", () => {
  const framing = adviceOf(check("framing"), "turned by 180 degrees", en);

  expect(framing).toEqual(en.advice.framing_upper);
  expect(adviceOf(check("unknown"), null, en)).toBeUndefined();
});
