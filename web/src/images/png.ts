import { decode as decodePng } from "fast-png";
import { completed, deepest } from "./build";
import { MAX_PREVIEW_PIXELS } from "./limits";
import { type DecodedImage, PreviewError } from "./types";

/** Decode a 16-bit PNG without losing depth. */
export function decodeDeepPng(bytes: Uint8Array): DecodedImage {
  const size = new DataView(bytes.buffer, bytes.byteOffset);
  if (size.getUint32(16) * size.getUint32(20) > MAX_PREVIEW_PIXELS) {
    throw new PreviewError("too-large");
  }
  try {
    const { width, height, data, channels } = decodePng(bytes);
    const samples = channels >= 3 ? 3 : 1;
    const pixels = overBlack(data, channels, samples);
    const nominal = [0, deepest(pixels)] as const;
    return completed({ width, height, bits: 16, samples, pixels, nominal });
  } catch (error) {
    throw error instanceof PreviewError ? error : new PreviewError("damaged");
  }
}

/** What is transparent is black, as the service reads it. */
export function overBlack(data: ArrayLike<number>, channels: number, samples: number): Uint16Array {
  if (channels === samples) return data instanceof Uint16Array ? data : Uint16Array.from(data);
  const count = data.length / channels;
  const pixels = new Uint16Array(count * samples);
  for (let pixel = 0; pixel < count; pixel++) {
    const alpha = (data[pixel * channels + samples] as number) / 65_535;
    for (let sample = 0; sample < samples; sample++) {
      pixels[pixel * samples + sample] = (data[pixel * channels + sample] as number) * alpha;
    }
  }
  return pixels;
}
