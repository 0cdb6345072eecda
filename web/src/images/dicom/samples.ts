import type { Samples } from "../types";
import type { RawFrame } from "./frame";
import type { Layout } from "./layout";

/**
 * Turn a frame's bytes into stored values: byte order, high bit and sign resolved.
 *
 * Integers of more than 16 bits and floats come back as Float32Array.
 */
export function storedValues(frame: RawFrame, layout: Layout): Samples {
  const view = new DataView(frame.bytes.buffer, frame.bytes.byteOffset, frame.bytes.byteLength);
  const count = Math.min(
    layout.pixels * frame.samples,
    Math.floor(frame.bytes.length / layout.bytesPerSample),
  );
  const little = !frame.bigEndian;
  // Where header and codestream disagree on the sign, one of them forgot to say that there is one.
  const signed = layout.signed || (frame.coded?.signed ?? false);
  const bits = frame.coded?.bits ?? layout.bitsStored;
  if (layout.float || layout.bytesPerSample > 2) return wideValues(view, count, little, layout);
  const shift = frame.coded ? 0 : layout.highBit + 1 - bits;
  const read = reader(view, layout.bytesPerSample, little);
  const values = emptyFor(count, layout.bytesPerSample, signed);
  const unused = 32 - bits;
  for (let index = 0; index < count; index++) {
    // Bits outside the stored ones may hold overlays or rubbish.
    const stored = (read(index) >>> shift) << unused;
    values[index] = signed ? stored >> unused : stored >>> unused;
  }
  return values;
}

function reader(view: DataView, bytes: number, little: boolean): (index: number) => number {
  return bytes === 1
    ? (index) => view.getUint8(index)
    : (index) => view.getUint16(index * 2, little);
}

function emptyFor(
  count: number,
  bytes: number,
  signed: boolean,
): Uint8Array | Uint16Array | Int16Array {
  if (signed) return new Int16Array(count);
  return bytes === 1 ? new Uint8Array(count) : new Uint16Array(count);
}

function wideValues(view: DataView, count: number, little: boolean, layout: Layout): Float32Array {
  const values = new Float32Array(count);
  for (let index = 0; index < count; index++) {
    const at = index * layout.bytesPerSample;
    if (layout.float) {
      values[index] =
        layout.bytesPerSample === 8 ? view.getFloat64(at, little) : view.getFloat32(at, little);
    } else {
      values[index] = layout.signed ? view.getInt32(at, little) : view.getUint32(at, little);
    }
  }
  return values;
}
