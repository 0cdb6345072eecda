import { PreviewError } from "../types";

const HEADER_BYTES = 64;

/**
 * Decode one RLE frame to little-endian samples, interleaved by pixel.
 *
 * Each segment is one byte of one sample, most significant first. Source: DICOM PS3.5 Annex G.
 */
export function decodeRle(
  frame: Uint8Array,
  pixels: number,
  samples: number,
  bytesPerSample: number,
): Uint8Array {
  const header = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const segments = header.getUint32(0, true);
  if (segments !== samples * bytesPerSample) throw new PreviewError("damaged");
  const decoded = new Uint8Array(pixels * segments);
  for (let segment = 0; segment < segments; segment++) {
    const start = header.getUint32(4 + 4 * segment, true);
    const next = segment + 1 < segments ? header.getUint32(8 + 4 * segment, true) : frame.length;
    if (start < HEADER_BYTES) throw new PreviewError("damaged");
    const sample = Math.floor(segment / bytesPerSample);
    const byte = bytesPerSample - 1 - (segment % bytesPerSample);
    unpack(frame.subarray(start, next), decoded, sample * bytesPerSample + byte, segments, pixels);
  }
  return decoded;
}

/** PackBits: a count below 128 copies count + 1 bytes, above it repeats one byte 257 - count times. */
function unpack(
  packed: Uint8Array,
  target: Uint8Array,
  first: number,
  stride: number,
  pixels: number,
): void {
  let written = 0;
  let at = 0;
  const put = (value: number | undefined) => {
    if (written < pixels) target[first + stride * written++] = value ?? 0;
  };
  while (at < packed.length && written < pixels) {
    const count = packed[at++] as number;
    if (count < 128) for (let left = count; left >= 0; left--) put(packed[at++]);
    else if (count > 128) {
      const value = packed[at++];
      for (let left = 257 - count; left > 0; left--) put(value);
    }
  }
}
