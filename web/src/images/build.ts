import {
  type DecodedImage,
  type Padding,
  PreviewError,
  type Samples,
  type WindowPreset,
} from "./types";
import { extent, percentileWindow, pictureRange } from "./window";

interface Parts {
  readonly width: number;
  readonly height: number;
  readonly samples: 1 | 3;
  readonly pixels: Samples;
  readonly bits: number;
  readonly presets?: readonly WindowPreset[];
  readonly padding?: Padding | null;
  /**
   * The values that its format calls black and white, or null where they are those of the picture.
   * Samples of 8 bits say it themselves.
   */
  readonly nominal?: readonly [number, number] | null;
}

/**
 * Complete an image with its range and its windows: the file's own first, then those that are
 * always there. A colour image and an 8-bit one open at their whole range, as they were made to.
 */
export function completed(
  parts: Parts & Partial<Omit<DecodedImage, keyof Parts | "range" | "stored">>,
): DecodedImage {
  const { slope = 1, intercept = 0, padding = null, nominal = nominalOf(parts), ...rest } = parts;
  if (parts.pixels.length < parts.width * parts.height * parts.samples) {
    throw new PreviewError("damaged");
  }
  const stored = extent(parts.pixels);
  const seen = padding ? extent(parts.pixels, padding) : stored;
  const rescaled = ([low, high]: readonly [number, number]) =>
    [low, high].map((value) => value * slope + intercept).sort((a, b) => a - b) as [number, number];
  const whole = nominal ?? rescaled(pictureRange(parts.pixels, padding));
  const full = { name: "full", ...fullWindow(whole) };
  const auto = { name: "auto", ...percentileWindow(parts.pixels, slope, intercept, padding) };
  const own = parts.presets ?? [];
  const always = parts.bits <= 8 || parts.samples === 3 ? [full, auto] : [auto, full];
  return {
    slope,
    intercept,
    inverted: false,
    unit: null,
    frame: 1,
    frames: 1,
    ...rest,
    padding,
    range: rescaled(seen),
    stored,
    presets: [...own, ...always] as unknown as DecodedImage["presets"],
  };
}

const nominalOf = ({ bits, pixels }: Parts): readonly [number, number] | null =>
  bits <= 8 && pixels instanceof Uint8Array ? [0, 255] : null;

const fullWindow = ([low, high]: readonly [number, number]) => ({
  centre: (low + high + 1) / 2,
  width: Math.max(1, high - low + 1),
});

const DEPTHS = [8, 10, 12, 14];

/**
 * The greatest value of the depth that 16-bit samples seem to have: the smallest of the usual ones
 * that holds them, as the service guesses it. A PNG or TIFF made from a 12-bit detector is silent,
 * and one sample in a thousand may be larger: a dead pixel or a marker.
 */
export function deepest(samples: Uint16Array): number {
  const beyond = (span: number) =>
    samples.reduce((count, value) => (value >= span ? count + 1 : count), 0);
  const bits = DEPTHS.find((depth) => beyond(2 ** depth) * 1000 <= samples.length) ?? 16;
  return 2 ** bits - 1;
}
