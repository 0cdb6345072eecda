import type { DecodedImage, DisplayWindow, LookupTable, Padding, Samples } from "./types";

/**
 * Map one value through a window to 0–255.
 *
 * Source: DICOM PS3.3 C.11.2.1.2.1 (linear), C.11.2.1.3.1 (sigmoid), C.11.2.1.3.2 (linear exact).
 */
export function windowed(value: number, window: DisplayWindow): number {
  const { centre, width, curve } = window;
  if (curve === "SIGMOID") return 255 / (1 + Math.exp((-4 * (value - centre)) / width));
  if (curve === "LINEAR_EXACT") return 255 * clamped((value - centre) / width + 0.5);
  const share = clamped(linear(value, centre, width));
  return typeof curve === "object" ? looked(curve, share) : 255 * share;
}

const clamped = (share: number): number => Math.min(1, Math.max(0, share));

function linear(value: number, centre: number, width: number): number {
  if (width > 1) return (value - (centre - 0.5)) / (width - 1) + 0.5;
  return value > centre - 0.5 ? 1 : 0;
}

function looked({ entries, bits }: LookupTable, share: number): number {
  const entry = entries[Math.round(share * (entries.length - 1))] ?? 0;
  return (255 * entry) / (2 ** bits - 1);
}

/** The window that a table spans: each of its entries stands for one value. Source: C.11.2.1.1. */
export const tableWindow = (curve: LookupTable): DisplayWindow => ({
  centre: curve.first + curve.entries.length / 2,
  width: curve.entries.length,
  curve,
});

export const isIn = (padding: Padding | null, value: number): boolean =>
  padding !== null && value >= padding[0] && value <= padding[1];

export interface Rendering {
  readonly window: DisplayWindow;
  readonly invert: boolean;
}

/** A table from stored value (minus `first`) to gray, so that a pixel costs one look-up. */
export interface GrayTable {
  readonly first: number;
  readonly grays: Uint8ClampedArray;
}

export function grayTable(image: DecodedImage, rendering: Rendering): GrayTable {
  const [first, last] = image.stored;
  const gray = exactGray(image, rendering);
  const grays = new Uint8ClampedArray(last - first + 1);
  for (let index = 0; index < grays.length; index++) grays[index] = gray(first + index);
  return { first, grays };
}

/** A part of an image, in its own pixels. */
export interface Region {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Fill RGBA pixels from a region of samples of any depth.
 *
 * @param stride The width of the image that `pixels` holds.
 */
export function paint(
  target: Uint8ClampedArray,
  pixels: Samples,
  stride: number,
  region: Region,
  image: DecodedImage,
  rendering: Rendering,
): void {
  const words = new Uint32Array(target.buffer, target.byteOffset, target.length / 4);
  const word = wordFor(pixels, image, rendering);
  let out = 0;
  for (let y = region.y; y < region.y + region.height; y++) {
    const row = (y * stride + region.x) * image.samples;
    const end = row + region.width * image.samples;
    for (let at = row; at < end; at += image.samples) words[out++] = word(at);
  }
}

/** The four bytes of a pixel as one number, as a little-endian machine keeps them. */
const packed = (red: number, green: number, blue: number) =>
  (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;

function wordFor(pixels: Samples, image: DecodedImage, rendering: Rendering) {
  if (pixels instanceof Float32Array) {
    const gray = exactGray(image, rendering);
    return (at: number) => {
      const level = gray(pixels[at] as number);
      return packed(level, level, level);
    };
  }
  const { first, grays } = grayTable(image, rendering);
  if (image.samples === 1) {
    const words = Uint32Array.from(grays, (gray) => packed(gray, gray, gray));
    return (at: number) => words[(pixels[at] as number) - first] as number;
  }
  const gray = (at: number) => grays[(pixels[at] as number) - first] as number;
  return (at: number) => packed(gray(at), gray(at + 1), gray(at + 2));
}

function exactGray(image: DecodedImage, rendering: Rendering): (stored: number) => number {
  const flip = image.inverted !== rendering.invert;
  return (stored) => {
    if (isIn(image.padding, stored)) return 0;
    const value = stored * image.slope + image.intercept;
    const gray = Math.round(windowed(value, rendering.window));
    return flip ? 255 - gray : gray;
  };
}

/** Half the size, each pixel the mean of four: the next level of the pyramid. */
export function halved(
  pixels: Samples,
  width: number,
  height: number,
  samples: 1 | 3,
  padding: Padding | null = null,
): Samples {
  const halfWidth = Math.max(1, width >> 1);
  const halfHeight = Math.max(1, height >> 1);
  const half = emptyLike(pixels, halfWidth * halfHeight * samples);
  const right = width > 1 ? samples : 0;
  const down = height > 1 ? width * samples : 0;
  let out = 0;
  for (let y = 0; y < halfHeight; y++) {
    for (let x = 0; x < halfWidth; x++) {
      const corner = (y * 2 * width + x * 2) * samples;
      for (let sample = 0; sample < samples; sample++, out++) {
        const at = corner + sample;
        half[out] =
          padding === null
            ? mean(pixels, at, at + right, at + down, at + right + down)
            : seenMean(pixels, [at, at + right, at + down, at + right + down], padding);
      }
    }
  }
  return half;
}

function mean(pixels: Samples, a: number, b: number, c: number, d: number): number {
  const sum = (pixels[a] ?? 0) + (pixels[b] ?? 0) + (pixels[c] ?? 0) + (pixels[d] ?? 0);
  return pixels instanceof Float32Array ? sum / 4 : (sum + 2) >> 2;
}

/** The mean of what is no padding, so that an edge of padding keeps its bright side. */
function seenMean(pixels: Samples, at: readonly number[], padding: Padding): number {
  const seen = at.map((index) => pixels[index] ?? 0).filter((value) => !isIn(padding, value));
  if (seen.length === 0) return pixels[at[0] as number] ?? 0;
  const exact = seen.reduce((sum, value) => sum + value, 0) / seen.length;
  if (pixels instanceof Float32Array) return isIn(padding, exact) ? (seen[0] as number) : exact;
  const rounded = Math.round(exact);
  // Values on both sides of the padding may meet in it.
  return isIn(padding, rounded) ? (seen[0] as number) : rounded;
}

export function emptyLike(pixels: Samples, length: number): Samples {
  if (pixels instanceof Uint8Array) return new Uint8Array(length);
  if (pixels instanceof Uint16Array) return new Uint16Array(length);
  if (pixels instanceof Int16Array) return new Int16Array(length);
  return new Float32Array(length);
}

/** Least and greatest stored value of what is no padding. */
export function extent(pixels: Samples, padding: Padding | null = null): [number, number] {
  let least = Number.POSITIVE_INFINITY;
  let greatest = Number.NEGATIVE_INFINITY;
  for (const value of pixels) {
    if (padding !== null && isIn(padding, value)) continue;
    if (value < least) least = value;
    if (value > greatest) greatest = value;
  }
  return least > greatest ? [0, 0] : [least, greatest];
}

const PIXELS_FOR_AN_OUTLIER = 1000;
const APART = 32;
/** Of all that 16 bits can hold, signed or not. */
const LEAST_STORED = -32_768;
const STORED_VALUES = 98_304;

/**
 * Least and greatest stored value of the picture, as the service finds them where no window is given.
 *
 * Up to one pixel in a thousand is dead, or a marker, where it lies apart from all others: by more
 * than a thirty-second of their range. In values that are not whole, which the service does not
 * read, nothing is.
 */
export function pictureRange(pixels: Samples, padding: Padding | null): [number, number] {
  const counts = new Uint32Array(STORED_VALUES);
  let total = 0;
  for (const value of pixels) {
    if (isIn(padding, value)) continue;
    const index = value - LEAST_STORED;
    const before = counts[index];
    if (before === undefined) return extent(pixels, padding);
    counts[index] = before + 1;
    total++;
  }
  const rising: Counted[] = [];
  counts.forEach((count, index) => {
    if (count > 0) rising.push({ value: index + LEAST_STORED, count });
  });
  const falling = rising.map(({ value, count }) => ({ value: -value, count })).reverse();
  return total > 0 ? [-largest(falling, total), largest(rising, total)] : [0, 0];
}

interface Counted {
  readonly value: number;
  readonly count: number;
}

/** The largest value that belongs to the picture, of some that rise. */
function largest(rising: readonly Counted[], total: number): number {
  const least = rising[0]?.value ?? 0;
  let above = total;
  for (const [index, { value, count }] of rising.entries()) {
    above -= count;
    const next = rising[index + 1]?.value ?? value;
    const isApart = (next - value) * APART > value - least;
    if (isApart && above * PIXELS_FOR_AN_OUTLIER <= total) return value;
  }
  return rising.at(-1)?.value ?? least;
}

const TAIL = 0.01;

/** The window between the 1st and the 99th percentile, from a sample of the pixels. */
export function percentileWindow(
  pixels: Samples,
  slope: number,
  intercept: number,
  padding: Padding | null = null,
): DisplayWindow {
  const step = Math.max(1, Math.floor(pixels.length / 50_000));
  const sample = Float32Array.from(
    { length: Math.ceil(pixels.length / step) },
    (_, index) => pixels[index * step] ?? 0,
  )
    .filter((value) => !isIn(padding, value))
    .sort();
  const at = (share: number) =>
    (sample[Math.round(share * (sample.length - 1))] ?? 0) * slope + intercept;
  const [low, high] = [at(TAIL), at(1 - TAIL)].sort((a, b) => a - b) as [number, number];
  return { centre: (low + high) / 2, width: Math.max(1, high - low) };
}
