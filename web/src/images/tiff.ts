import { decode as decodeTiffFile, type TiffIfd } from "tiff";
import { completed, deepest } from "./build";
import { MAX_PREVIEW_PIXELS } from "./limits";
import { upright } from "./orientation";
import { isBigTiff } from "./sniff";
import { withoutOrientations } from "./tiffTags";
import { type DecodedImage, PreviewError, type Samples } from "./types";

const WHITE_IS_ZERO = 0;
const FLOAT = 3;
const SEPARATE_PLANES = 2;

/**
 * Decode one page of a TIFF; a browser does not.
 *
 * @throws PreviewError where the page is damaged, or its compression or layout has no decoder here.
 */
export function decodeTiff(bytes: Uint8Array, frame: number): DecodedImage {
  if (isBigTiff(bytes)) throw new PreviewError("encoding", "BigTIFF");
  const pages = attempt(() => decodeTiffFile(bytes, { ignoreImageData: true }));
  const page = pages[frame - 1];
  if (!page) throw new PreviewError("damaged");
  if (page.width * page.height > MAX_PREVIEW_PIXELS) throw new PreviewError("too-large");
  refuseMisread(page);
  const upward = withoutOrientations(bytes);
  const [image] = attempt(() => decodeTiffFile(upward, { pages: [frame - 1] }));
  if (!image) throw new PreviewError("damaged");
  const { width, height } = image;
  const plane = { width, height, ...gathered(image) };
  const nominal = nominalOf(plane.pixels, image.type === WHITE_IS_ZERO);
  return completed({
    ...upright(plane, page.orientation),
    ...(nominal && { nominal }),
    bits: plane.pixels instanceof Uint8Array ? 8 : image.bitsPerSample,
    frame,
    frames: pages.length,
  });
}

/** Refuse what the package reads without an error, and wrongly. */
function refuseMisread(page: TiffIfd): void {
  const isPlanar = page.planarConfiguration === SEPARATE_PLANES && page.samplesPerPixel > 1;
  const isFloatNegative = page.type === WHITE_IS_ZERO && page.sampleFormat === FLOAT;
  if (isPlanar || isFloatNegative) throw new PreviewError("encoding", "TIFF");
}

/**
 * The depth of 16-bit samples is guessed as the service guesses it. Where white was zero, the package
 * has inverted the samples over all 16 bits.
 */
function nominalOf(pixels: Samples, wasInverted: boolean): readonly [number, number] | null {
  if (!(pixels instanceof Uint16Array)) return null;
  if (!wasInverted) return [0, deepest(pixels)];
  return [65_535 - deepest(pixels.map((value) => 65_535 - value)), 65_535];
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
  const scale = image.bitsPerSample === 1 ? 255 : 1;
  for (let pixel = 0; pixel < count; pixel++) {
    for (let sample = 0; sample < samples; sample++) {
      pixels[pixel * samples + sample] = (data[pixel * channels + sample] as number) * scale;
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
