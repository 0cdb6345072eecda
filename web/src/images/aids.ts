import type { Region } from "./window";

/** What helps the eye. It changes the drawn grays alone: the service reads the file. */
export interface Aids {
  readonly localContrast: boolean;
  /** Above 1 the middle grays are brighter, below 1 darker. */
  readonly gamma: number;
}

export const NO_AIDS: Aids = { localContrast: false, gamma: 1 };

const TILES = 8;
const LEVELS = 256;
/** How often a gray may come in a tile, in units of its fair share: the curve's steepest slope. */
const CLIP_LIMIT = 2;

/** The new gray for each gray in each of eight by eight tiles. */
export type Curves = Float32Array;

/**
 * Contrast-limited adaptive histogram equalisation, the curves of a whole image.
 *
 * Source: Zuiderveld 1994, Contrast Limited Adaptive Histogram Equalization, Graphics Gems IV.
 *
 * @param rgba The image as it is drawn without aids.
 */
export function localCurves(rgba: Uint8ClampedArray, width: number, height: number): Curves {
  const counts = new Float32Array(TILES * TILES * LEVELS);
  for (let y = 0; y < height; y++) {
    const row = Math.floor((y * TILES) / height) * TILES;
    for (let x = 0; x < width; x++) {
      const tile = row + Math.floor((x * TILES) / width);
      const index = tile * LEVELS + luma(rgba, (y * width + x) * 4);
      counts[index] = (counts[index] as number) + 1;
    }
  }
  for (let tile = 0; tile < TILES * TILES; tile++) {
    equalise(counts.subarray(tile * LEVELS, (tile + 1) * LEVELS));
  }
  return counts;
}

/** Source: ITU-R BT.601, the weights in 256ths. */
const luma = (rgba: Uint8ClampedArray, at: number): number =>
  ((rgba[at] as number) * 77 + (rgba[at + 1] as number) * 150 + (rgba[at + 2] as number) * 29) >> 8;

/** Turn a tile's counts into its curve, in place. */
function equalise(counts: Float32Array): void {
  const pixels = counts.reduce((sum, count) => sum + count, 0);
  const most = (CLIP_LIMIT * pixels) / LEVELS;
  const kept = counts.reduce((sum, count) => sum + Math.min(count, most), 0);
  const dealt = (pixels - kept) / LEVELS;
  let sum = 0;
  for (let gray = 0; gray < LEVELS; gray++) {
    sum += Math.min(counts[gray] as number, most) + dealt;
    // An image smaller than the tiles leaves some without a pixel; their neighbours decide alone.
    counts[gray] = pixels > 0 ? (sum * (LEVELS - 1)) / pixels : gray;
  }
}

/** The gray for each gray. */
export function gammaTable(gamma: number): Uint8ClampedArray {
  const top = LEVELS - 1;
  return Uint8ClampedArray.from({ length: LEVELS }, (_, gray) => top * (gray / top) ** (1 / gamma));
}

/** Draw a part of an image through the aids, in place: local contrast first, then gamma. */
export function assist(
  rgba: Uint8ClampedArray,
  region: Region,
  image: { readonly width: number; readonly height: number },
  curves: Curves | null,
  gamma: Uint8ClampedArray,
): void {
  const columns = neighbours(region.x, region.width, image.width);
  const rows = neighbours(region.y, region.height, image.height);
  const through = (value: number, row: Around, column: Around): number =>
    gamma[curves ? mixed(curves, row, column, value) : value] as number;
  let at = 0;
  for (const row of rows) {
    for (const column of columns) {
      const red = rgba[at] as number;
      const isGray = red === rgba[at + 1] && red === rgba[at + 2];
      const first = through(red, row, column);
      rgba[at] = first;
      rgba[at + 1] = isGray ? first : through(rgba[at + 1] as number, row, column);
      rgba[at + 2] = isGray ? first : through(rgba[at + 2] as number, row, column);
      at += 4;
    }
  }
}

/** The tiles whose centres lie around a row or a column, and the share of the second. */
interface Around {
  readonly first: number;
  readonly second: number;
  readonly share: number;
}

function neighbours(from: number, count: number, length: number): readonly Around[] {
  const inside = (tile: number) => Math.min(TILES - 1, Math.max(0, tile));
  return Array.from({ length: count }, (_, index) => {
    const place = ((from + index + 0.5) * TILES) / length - 0.5;
    const first = Math.floor(place);
    return { first: inside(first), second: inside(first + 1), share: place - first };
  });
}

function mixed(curves: Curves, row: Around, column: Around, gray: number): number {
  const curve = (down: number, across: number) =>
    curves[(down * TILES + across) * LEVELS + gray] as number;
  const above = blend(curve(row.first, column.first), curve(row.first, column.second), column);
  const below = blend(curve(row.second, column.first), curve(row.second, column.second), column);
  return Math.round(blend(above, below, row));
}

const blend = (first: number, second: number, { share }: Around) =>
  first + share * (second - first);
