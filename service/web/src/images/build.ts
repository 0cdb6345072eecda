import { type DecodedImage, PreviewError, type Samples, type WindowPreset } from "./types";
import { extent, percentileWindow } from "./window";

interface Parts {
  readonly width: number;
  readonly height: number;
  readonly samples: 1 | 3;
  readonly pixels: Samples;
  readonly bits: number;
  readonly presets?: readonly WindowPreset[];
}

/**
 * Complete an image with its range and its windows: the file's own first, then those that are
 * always there. A colour image and an 8-bit one open at their whole range, as they were made to.
 */
export function completed(
  parts: Parts & Partial<Omit<DecodedImage, keyof Parts | "presets" | "range">>,
): DecodedImage {
  const { slope = 1, intercept = 0 } = parts;
  if (parts.pixels.length < parts.width * parts.height * parts.samples) {
    throw new PreviewError("damaged");
  }
  const [low, high] = extent(parts.pixels).map((value) => value * slope + intercept);
  const range = [Math.min(low ?? 0, high ?? 0), Math.max(low ?? 0, high ?? 0)] as const;
  const full = { name: "full", ...fullWindow(parts, range) };
  const auto = { name: "auto", ...percentileWindow(parts.pixels, slope, intercept) };
  const own = parts.presets ?? [];
  const always = parts.bits <= 8 || parts.samples === 3 ? [full, auto] : [auto, full];
  return {
    slope,
    intercept,
    inverted: false,
    voiFunction: "LINEAR",
    unit: null,
    frame: 1,
    frames: 1,
    ...parts,
    range,
    presets: [...own, ...always] as unknown as DecodedImage["presets"],
  };
}

function fullWindow(parts: Parts, range: readonly [number, number]) {
  const [low, high] = parts.bits <= 8 && parts.pixels instanceof Uint8Array ? [0, 255] : range;
  return { centre: (low + high + 1) / 2, width: Math.max(1, high - low + 1) };
}
