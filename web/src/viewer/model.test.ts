import { signal } from "@preact/signals";
import { describe, expect, it } from "vitest";
import { completed } from "../images/build";
import { tableWindow } from "../images/window";
import { ViewerModel } from "./model";

function showing(inverted: boolean, invert = false): ViewerModel {
  const model = new ViewerModel(signal(0.5));
  const pixels = Uint16Array.of(0, 1000, 2000, 4095);
  model.show(completed({ width: 2, height: 2, samples: 1, bits: 12, pixels, inverted }), false);
  model.invert.value = invert;
  model.setWindow({ centre: 2000, width: 1000 });
  return model;
}

const UP = { x: 0, y: -1 };

describe("up is brighter", () => {
  // A lower centre is brighter, except where small values are the bright ones.
  it.each([
    [false, false, -1],
    [true, false, 1],
    [false, true, 1],
    [true, true, -1],
  ])("where MONOCHROME1 is %s and the inversion %s", (inverted, invert, sign) => {
    const byKey = showing(inverted, invert);
    const byDrag = showing(inverted, invert);

    byKey.nudgeWindow(UP);
    byDrag.dragWindow(byDrag.window.peek(), { x: 0, y: -40 });

    expect(Math.sign(byKey.window.peek().centre - 2000)).toBe(sign);
    expect(Math.sign(byDrag.window.peek().centre - 2000)).toBe(sign);
  });
});

it("a preset's curve stays with a changed window, and goes with another preset", () => {
  const model = showing(false);
  const curve = { first: 0, entries: Uint16Array.of(0, 255), bits: 8 };

  model.usePreset({ name: "table", ...tableWindow(curve) });
  model.setWindow({ width: 9 });
  const changed = model.window.peek();
  model.usePreset({ name: "auto", centre: 1, width: 2 });

  expect(changed).toEqual({ centre: 1, width: 9, curve });
  expect(model.window.peek()).toEqual({ centre: 1, width: 2 });
});
