import { completed } from "./build";
import { MAX_PREVIEW_PIXELS } from "./limits";
import { type DecodedImage, PreviewError } from "./types";

/**
 * Decode what the browser itself can: JPEG, and PNG of 8 bits.
 *
 * @throws PreviewError where the browser finds the file damaged.
 */
export async function decodeRaster(bytes: Uint8Array, type: string): Promise<DecodedImage> {
  const { data, width, height } = await rasterPixels(bytes, type, "from-image");
  return completed({ width, height, bits: 8, ...opaque(data) });
}

/** @param orientation Whether EXIF may turn the image, as the service lets it; not within DICOM. */
export async function rasterPixels(
  bytes: Uint8Array,
  type: string,
  orientation: ImageOrientation,
): Promise<ImageData> {
  const bitmap = await createImageBitmap(new Blob([bytes as BlobPart], { type }), {
    // The service reads values as stored, whatever a colour profile says.
    colorSpaceConversion: "none",
    imageOrientation: orientation,
  }).catch(() => {
    throw new PreviewError("damaged");
  });
  if (bitmap.width * bitmap.height > MAX_PREVIEW_PIXELS) throw new PreviewError("too-large");
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new PreviewError("too-large");
  // What is transparent is black, as the service reads it.
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** Gray where all pixels are gray, else colour; the canvas has left nothing transparent. */
export function opaque(rgba: ArrayLike<number>): { samples: 1 | 3; pixels: Uint8Array } {
  const count = rgba.length / 4;
  const gray = new Uint8Array(count);
  for (let pixel = 0, at = 0; pixel < count; pixel++, at += 4) {
    const red = rgba[at] as number;
    if (red !== rgba[at + 1] || red !== rgba[at + 2]) return coloured(rgba, count);
    gray[pixel] = red;
  }
  return { samples: 1, pixels: gray };
}

function coloured(rgba: ArrayLike<number>, count: number): { samples: 3; pixels: Uint8Array } {
  const pixels = new Uint8Array(count * 3);
  for (let pixel = 0, at = 0, out = 0; pixel < count; pixel++, at += 4, out += 3) {
    pixels[out] = rgba[at] as number;
    pixels[out + 1] = rgba[at + 1] as number;
    pixels[out + 2] = rgba[at + 2] as number;
  }
  return { samples: 3, pixels };
}
