type Colour = readonly [number, number, number];

/** From deep violet over red and amber to pale yellow: brightness alone tells weak from strong. */
const STOPS: readonly Colour[] = [
  [40, 11, 84],
  [120, 28, 109],
  [188, 55, 84],
  [237, 105, 37],
  [251, 164, 40],
  [252, 245, 160],
];

/** Below this share nothing is drawn, so that the radiograph stays clean. */
const FLOOR = 0.05;
const OPAQUE = 0.55;

/** The colour of a strength between 0 and 1. */
export function heatColour(strength: number): Colour {
  const at = Math.min(1, Math.max(0, strength)) * (STOPS.length - 1);
  const lower = STOPS[Math.floor(at)] as Colour;
  const upper = STOPS[Math.ceil(at)] as Colour;
  const share = at - Math.floor(at);
  const mix = (index: 0 | 1 | 2) =>
    Math.round(lower[index] + (upper[index] - lower[index]) * share);
  return [mix(0), mix(1), mix(2)];
}

/** How opaque a strength is drawn, 0 to 255: it fades in, so that no edge is seen that is not there. */
export function heatAlpha(strength: number): number {
  const share = (strength - FLOOR) / (OPAQUE - FLOOR);
  return Math.round(255 * Math.min(1, Math.max(0, share)));
}

/** Turn gray RGBA pixels (the service's heatmap) into colour, in place. */
export function colourise(rgba: Uint8ClampedArray): void {
  for (let at = 0; at < rgba.length; at += 4) {
    const strength = (rgba[at] ?? 0) / 255;
    const [red, green, blue] = heatColour(strength);
    rgba[at] = red;
    rgba[at + 1] = green;
    rgba[at + 2] = blue;
    rgba[at + 3] = heatAlpha(strength);
  }
}

/** A map without any preference has about this share of itself inside the lungs. */
const LEAST_INSIDE = 1 / 3;

/** Whether a heatmap looks elsewhere than at the lungs, where that is known. */
export const isOutside = ({ insideLungs }: { readonly insideLungs: number | null }): boolean =>
  insideLungs !== null && insideLungs < LEAST_INSIDE;
