import type { DecodedImage } from "./types";
import { halved, paint } from "./window";

/** Draw an image small, with its first window, as the tray shows it. */
export async function thumbnail(image: DecodedImage, edge: number): Promise<Blob> {
  let { width, height, pixels } = image;
  while (Math.min(width, height) >= edge * 2) {
    pixels = halved(pixels, width, height, image.samples, image.padding);
    width >>= 1;
    height >>= 1;
  }
  const [first] = image.presets;
  const full = new OffscreenCanvas(width, height);
  const data = new ImageData(width, height);
  const whole = { x: 0, y: 0, width, height };
  paint(data.data, pixels, width, whole, image, { window: first, invert: false });
  full.getContext("2d")?.putImageData(data, 0, 0);
  const side = Math.min(width, height);
  const small = new OffscreenCanvas(edge, edge);
  const [left, top] = [(width - side) / 2, (height - side) / 2];
  small.getContext("2d")?.drawImage(full, left, top, side, side, 0, 0, edge, edge);
  return small.convertToBlob({ type: "image/webp", quality: 0.8 });
}
