import { describe, expect, it } from "vitest";
import { fitted, imagePoint, origin, panned, zoomed } from "./geometry";

const IMAGE = { width: 2000, height: 1000 };
const SCREEN = { width: 800, height: 600 };

describe("the view", () => {
  it("fits the whole image on the screen", () => {
    const view = fitted(IMAGE, SCREEN);
    const corner = origin(view, SCREEN);

    expect(corner.x).toBeGreaterThanOrEqual(0);
    expect(corner.x + IMAGE.width * view.scale).toBeLessThanOrEqual(SCREEN.width);
    expect(corner.y).toBeGreaterThan(0);
  });

  it("keeps the point under the pointer where it is while it zooms", () => {
    const at = { x: 100, y: 450 };
    const before = fitted(IMAGE, SCREEN);

    const after = zoomed(before, 3, SCREEN, at);

    expect(after.scale).toBeCloseTo(before.scale * 3, 9);
    expect(imagePoint(after, SCREEN, at).x).toBeCloseTo(imagePoint(before, SCREEN, at).x, 9);
    expect(imagePoint(after, SCREEN, at).y).toBeCloseTo(imagePoint(before, SCREEN, at).y, 9);
  });

  it("never zooms out of all bounds", () => {
    const view = fitted(IMAGE, SCREEN);

    expect(zoomed(view, 1e9, SCREEN, { x: 0, y: 0 }).scale).toBe(32);
    expect(zoomed(view, 1e-9, SCREEN, { x: 0, y: 0 }).scale).toBe(0.02);
  });

  it("follows the hand, and never loses the image", () => {
    const view = { scale: 2, x: 1000, y: 500 };

    expect(panned(view, { x: 40, y: -20 }, IMAGE)).toEqual({ scale: 2, x: 980, y: 510 });
    expect(panned(view, { x: 1e9, y: 1e9 }, IMAGE)).toEqual({ scale: 2, x: 0, y: 0 });
  });
});
