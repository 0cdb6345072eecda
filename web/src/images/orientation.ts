import type { Samples } from "./types";
import { emptyLike } from "./window";

interface Plane {
  readonly width: number;
  readonly height: number;
  readonly samples: 1 | 3;
  readonly pixels: Samples;
}

/**
 * Undo how the camera was held, as the service does.
 *
 * Source: Exif 2.32 (CIPA DC-008), 4.6.4 A, Orientation.
 */
export function upright<P extends Plane>(plane: P, orientation: number): P {
  if (!(orientation >= 2 && orientation <= 8)) return plane;
  const { width, height, samples, pixels } = plane;
  const isTurned = orientation >= 5;
  const flipsRows = [3, 4, 7, 8].includes(orientation);
  const flipsColumns = [2, 3, 6, 7].includes(orientation);
  const size = isTurned ? { width: height, height: width } : { width, height };
  const turned = emptyLike(pixels, pixels.length);
  for (let y = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) {
      const row = flipsRows ? size.height - 1 - y : y;
      const column = flipsColumns ? size.width - 1 - x : x;
      const from = (isTurned ? column * width + row : row * width + column) * samples;
      const to = (y * size.width + x) * samples;
      for (let sample = 0; sample < samples; sample++) {
        turned[to + sample] = pixels[from + sample] as number;
      }
    }
  }
  return { ...plane, ...size, pixels: turned };
}
