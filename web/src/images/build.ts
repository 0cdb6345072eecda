import {
  type DecodedImage,
  type Padding,
  PreviewError,
  type Samples,
  type WindowPreset,
} from "./types";
import { extent, percentileWindow } from "./window";

interface Parts {
  readonly width: number;
  readonly height: number;
  readonly samples: 1 | 3;
  readonly pixels: Samples;
  readonly bits: number;
  readonly presets?: readonly WindowPreset[];
  readonly padding?: Padding | null;
  /** The values that its format calls black and white; where it does not, those that it has. */
  readonly nominal?: readonly [number, number];
}

/**
 * Complete an image with its range and its windows: the file's own first, then those that are
 * always there. A colour image and an 8-bit one open at their whole range, as they were made to.
 */
export function completed(
  parts: Parts & Partial<Omit<DecodedImage, keyof Parts | "range" | "stored">>,
): DecodedImage {
  const { slope = 1, intercept = 0, padding = null, nominal, ...rest } = parts;
  if (parts.pixels.length < parts.width * parts.height * parts.samples) {
    throw new PreviewError("damaged");
  }
  const stored = extent(parts.pixels);
  const seen = padding ? extent(parts.pixels, padding) : stored;
  const [low, high] = seen.map((value) => value * slope + intercept);
  const range = [Math.min(low ?? 0, high ?? 0), Math.max(low ?? 0, high ?? 0)] as const;
  const full = { name: "full", ...fullWindow(nominal ?? nominalOf(parts) ?? range) };
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
    range,
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

const DEPTHS = [8, 10, 12, 14, 16];

/**
 * The greatest value of the depth that 16-bit samples seem to have: the smallest of the usual ones
 * that holds them, as the service guesses it. A PNG or TIFF made from a 12-bit detector is silent.
 */
export function deepest(greatest: number): number {
  const bits = DEPTHS.find((depth) => greatest < 2 ** depth) ?? 16;
  return 2 ** bits - 1;
}
