import { decode as decodeTiffFile, type TiffIfd } from "tiff";
import { completed } from "./build";
import { MAX_PREVIEW_PIXELS } from "./limits";
import { upright } from "./orientation";
import { type DecodedImage, PreviewError, type Samples } from "./types";

const WHITE_IS_ZERO = 0;

/** Decode one page of a TIFF; a browser does not. */
export function decodeTiff(bytes: Uint8Array, frame: number): DecodedImage {
  const pages = attempt(() => decodeTiffFile(bytes, { ignoreImageData: true }));
  const page = pages[frame - 1];
  if (!page) throw new PreviewError("damaged");
  if (page.width * page.height > MAX_PREVIEW_PIXELS) throw new PreviewError("too-large");
  const [image] = attempt(() => decodeTiffFile(bytes, { pages: [frame - 1] }));
  if (!image) throw new PreviewError("damaged");
  const { width, height } = image;
  return completed({
    ...upright({ width, height, ...gathered(image) }, image.orientation),
    bits: image.bitsPerSample,
    inverted: image.type === WHITE_IS_ZERO,
    frame,
    frames: pages.length,
  });
}

function attempt(read: () => TiffIfd[]): TiffIfd[] {
  try {
    return read();
  } catch (error) {
    const message = error instanceof Error ? error.message : "";
    const unknown = /unsupported|not supported|unknown/i.test(message);
    throw new PreviewError(unknown ? "encoding" : "damaged", unknown ? "TIFF" : "");
  }
}

function gathered(image: TiffIfd): { samples: 1 | 3; pixels: Samples } {
  const data = image.data as ArrayLike<number>;
  if (image.palette) return { samples: 3, pixels: coloured(data, image.palette) };
  const channels = image.samplesPerPixel;
  const samples = channels >= 3 ? 3 : 1;
  const count = image.width * image.height;
  const pixels = emptyFor(image, count * samples);
  for (let pixel = 0; pixel < count; pixel++) {
    for (let sample = 0; sample < samples; sample++) {
      pixels[pixel * samples + sample] = data[pixel * channels + sample] as number;
    }
  }
  return { samples, pixels };
}

function emptyFor(image: TiffIfd, length: number): Samples {
  if (image.sampleFormat === 3 || image.bitsPerSample > 16) return new Float32Array(length);
  return image.bitsPerSample <= 8 ? new Uint8Array(length) : new Uint16Array(length);
}

function coloured(data: ArrayLike<number>, palette: readonly (readonly number[])[]): Uint8Array {
  const pixels = new Uint8Array(data.length * 3);
  for (let pixel = 0; pixel < data.length; pixel++) {
    const colour = palette[data[pixel] as number] ?? [0, 0, 0];
    for (let sample = 0; sample < 3; sample++)
      pixels[pixel * 3 + sample] = (colour[sample] ?? 0) >> 8;
  }
  return pixels;
}
