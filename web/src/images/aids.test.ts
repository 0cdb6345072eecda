import { describe, expect, it } from "vitest";
import { assist, gammaTable, localCurves } from "./aids";

const SIDE = 64;
const WHOLE = { x: 0, y: 0, width: SIDE, height: SIDE };

/** An opaque gray picture. */
function picture(gray: (x: number, y: number) => number, region = WHOLE): Uint8ClampedArray {
  const rgba = new Uint8ClampedArray(region.width * region.height * 4);
  for (let at = 0; at < rgba.length / 4; at++) {
    const x = region.x + (at % region.width);
    const y = region.y + Math.floor(at / region.width);
    rgba.set([gray(x, y), gray(x, y), gray(x, y), 255], at * 4);
  }
  return rgba;
}

const reds = (rgba: Uint8ClampedArray) => [...rgba].filter((_, index) => index % 4 === 0);
const spread = (grays: readonly number[]) => Math.max(...grays) - Math.min(...grays);
const PLAIN = gammaTable(1);

describe("gamma", () => {
  it("of one changes nothing", () => {
    expect([...PLAIN]).toEqual(Array.from({ length: 256 }, (_, gray) => gray));
  });

  it("moves the middle and leaves both ends", () => {
    expect([gammaTable(2)[0], gammaTable(2)[64], gammaTable(2)[255]]).toEqual([0, 128, 255]);
    expect(gammaTable(0.5)[128]).toBe(64);
  });
});

describe("local contrast", () => {
  /** Faint detail on one side of a picture whose other side is bright. */
  const faint = (x: number, y: number) => (x < SIDE / 2 ? 20 + ((x + y) % 8) : 200);

  it("brings out what is faint", () => {
    const rgba = picture(faint);
    const before = spread(reds(rgba).filter((gray) => gray < 100));

    assist(rgba, WHOLE, WHOLE, localCurves(rgba, SIDE, SIDE), PLAIN);

    const row = reds(rgba).slice(32 * SIDE, 32 * SIDE + SIDE / 4);
    expect(before).toBe(7);
    expect(spread(row)).toBeGreaterThan(12);
  });

  it("never makes a brighter gray darker at the same place", () => {
    const curves = localCurves(picture(faint), SIDE, SIDE);

    for (let tile = 0; tile < 64; tile++) {
      const curve = [...curves.subarray(tile * 256, (tile + 1) * 256)];
      expect(curve).toEqual([...curve].sort((a, b) => a - b));
    }
  });

  it("looks the same in a part as in the whole, so that a pan changes nothing", () => {
    const whole = picture(faint);
    const region = { x: 13, y: 40, width: 30, height: 9 };
    const part = picture(faint, region);
    const curves = localCurves(whole, SIDE, SIDE);

    assist(whole, WHOLE, WHOLE, curves, PLAIN);
    assist(part, region, WHOLE, curves, PLAIN);

    const grays = reds(whole);
    expect(reds(part)).toEqual(
      reds(part).map((_, at) => grays[(40 + Math.floor(at / 30)) * SIDE + 13 + (at % 30)]),
    );
  });

  it("is possible on an image of fewer pixels than tiles", () => {
    const rgba = Uint8ClampedArray.of(9, 9, 9, 255);

    assist(
      rgba,
      { x: 0, y: 0, width: 1, height: 1 },
      { width: 1, height: 1 },
      localCurves(rgba, 1, 1),
      PLAIN,
    );

    expect(rgba[3]).toBe(255);
    expect(rgba[0]).toBe(rgba[2]);
  });
});

it("colours go through the same curve, each by itself", () => {
  const rgba = Uint8ClampedArray.of(64, 0, 255, 255);

  assist(rgba, { x: 0, y: 0, width: 1, height: 1 }, { width: 1, height: 1 }, null, gammaTable(2));

  expect([...rgba]).toEqual([128, 0, 255, 255]);
});
