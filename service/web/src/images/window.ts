import type { DecodedImage, DisplayWindow, Samples, VoiFunction } from "./types";

/**
 * Map one value through a window to 0–255.
 *
 * Source: DICOM PS3.3 C.11.2.1.2.1 (linear), C.11.2.1.3.1 (sigmoid), C.11.2.1.3.2 (linear exact).
 */
export function windowed(value: number, window: DisplayWindow, voi: VoiFunction): number {
  const { centre, width } = window;
  if (voi === "SIGMOID") return 255 / (1 + Math.exp((-4 * (value - centre)) / width));
  const share =
    voi === "LINEAR_EXACT"
      ? (value - centre) / width + 0.5
      : width > 1
        ? (value - (centre - 0.5)) / (width - 1) + 0.5
        : value > centre - 0.5
          ? 1
          : 0;
  return Math.min(255, Math.max(0, share * 255));
}

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
  const { slope, intercept, range } = image;
  const stored = range.map((value) => (value - intercept) / slope).sort((a, b) => a - b);
  const first = Math.floor(stored[0] ?? 0);
  const last = Math.ceil(stored[1] ?? 0);
  const flip = image.inverted !== rendering.invert;
  const grays = new Uint8ClampedArray(last - first + 1);
  for (let index = 0; index < grays.length; index++) {
    const value = (first + index) * slope + intercept;
    const gray = Math.round(windowed(value, rendering.window, image.voiFunction));
    grays[index] = flip ? 255 - gray : gray;
  }
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
    const value = stored * image.slope + image.intercept;
    const gray = Math.round(windowed(value, rendering.window, image.voiFunction));
    return flip ? 255 - gray : gray;
  };
}

/** Half the size, each pixel the mean of four: the next level of the pyramid. */
export function halved(pixels: Samples, width: number, height: number, samples: 1 | 3): Samples {
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
        half[out] = mean(pixels, at, at + right, at + down, at + right + down);
      }
    }
  }
  return half;
}

function mean(pixels: Samples, a: number, b: number, c: number, d: number): number {
  const sum = (pixels[a] ?? 0) + (pixels[b] ?? 0) + (pixels[c] ?? 0) + (pixels[d] ?? 0);
  return pixels instanceof Float32Array ? sum / 4 : (sum + 2) >> 2;
}

export function emptyLike(pixels: Samples, length: number): Samples {
  if (pixels instanceof Uint8Array) return new Uint8Array(length);
  if (pixels instanceof Uint16Array) return new Uint16Array(length);
  if (pixels instanceof Int16Array) return new Int16Array(length);
  return new Float32Array(length);
}

/** Least and greatest stored value. */
export function extent(pixels: Samples): [number, number] {
  let least = Number.POSITIVE_INFINITY;
  let greatest = Number.NEGATIVE_INFINITY;
  for (const value of pixels) {
    if (value < least) least = value;
    if (value > greatest) greatest = value;
  }
  return least > greatest ? [0, 0] : [least, greatest];
}

const TAIL = 0.01;

/** The window between the 1st and the 99th percentile, from a sample of the pixels. */
export function percentileWindow(pixels: Samples, slope: number, intercept: number): DisplayWindow {
  const step = Math.max(1, Math.floor(pixels.length / 50_000));
  const sample = Float32Array.from(
    { length: Math.ceil(pixels.length / step) },
    (_, index) => pixels[index * step] ?? 0,
  ).sort();
  const at = (share: number) =>
    (sample[Math.round(share * (sample.length - 1))] ?? 0) * slope + intercept;
  const [low, high] = [at(TAIL), at(1 - TAIL)].sort((a, b) => a - b) as [number, number];
  return { centre: (low + high) / 2, width: Math.max(1, high - low) };
}
