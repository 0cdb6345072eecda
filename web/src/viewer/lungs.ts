/** Beside the heatmap's violet, red and yellow, and on any gray, no other line looks like it. */
const COLOUR = [94, 214, 255, 255] as const;
const LUNG = 128;
/** As a share of the longer side: thin enough for a thumbnail, thick enough for a wall. */
const THICKNESS = 1 / 350;

/**
 * Turn a mask into the outline of its regions, in place. Where the image's edge cuts a lung off,
 * it has none.
 *
 * @param rgba A gray picture, lung from 128 up.
 */
export function outline(rgba: Uint8ClampedArray, width: number, height: number): void {
  const mask = Uint8Array.from({ length: width * height }, (_, at) =>
    (rgba[at * 4] as number) >= LUNG ? 1 : 0,
  );
  const reach = Math.max(1, Math.round(Math.max(width, height) * THICKNESS));
  const isOutside = (x: number, y: number) =>
    x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] === 0;
  rgba.fill(0);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (mask[y * width + x] === 0) continue;
      const isEdge =
        isOutside(x - reach, y) ||
        isOutside(x + reach, y) ||
        isOutside(x, y - reach) ||
        isOutside(x, y + reach);
      if (isEdge) rgba.set(COLOUR, (y * width + x) * 4);
    }
  }
}
