import type { Padding, Samples } from "../types";
import { isIn } from "../window";
import { bytesOf, type Coded } from "./codecs";
import type { RawFrame } from "./frame";
import type { Layout } from "./layout";

/**
 * Turn a frame's bytes into stored values: byte order, high bit and sign resolved.
 *
 * Integers of more than 16 bits and floats come back as Float32Array.
 *
 * @param padding Where it lies outside the stored bits, whole cells may be it, and stay whole.
 */
export function storedValues(
  frame: RawFrame,
  layout: Layout,
  padding: Padding | null = null,
): Samples {
  const view = new DataView(frame.bytes.buffer, frame.bytes.byteOffset, frame.bytes.byteLength);
  const { coded } = frame;
  const bytes = coded ? bytesOf(coded.bits) : layout.bytesPerSample;
  const count = Math.min(layout.pixels * frame.samples, Math.floor(frame.bytes.length / bytes));
  const little = !frame.bigEndian;
  if (layout.float || bytes > 2) return wideValues(view, count, little, layout);
  const read = reader(view, bytes, little);
  const value = coded ? codedValue(read, coded, layout) : nativeValue(read, count, layout);
  const values = emptyFor(count, layout.bytesPerSample, layout.signed);
  const { bitsStored, signed } = layout;
  const isAbove = padding?.some((end) => lowBits(end, bitsStored, signed) !== end);
  for (let index = 0; index < count; index++) {
    // Bits outside the stored ones may hold overlays or rubbish.
    values[index] = lowBits(value(index), bitsStored, signed);
    if (!isAbove) continue;
    const cell = lowBits(read(index), layout.bytesPerSample * 8, signed);
    if (isIn(padding, cell)) values[index] = cell;
  }
  return values;
}

/** The number that the lowest bits of a word stand for. */
export function lowBits(word: number, bits: number, signed: boolean): number {
  const unused = 32 - bits;
  return signed ? (word << unused) >> unused : (word << unused) >>> unused;
}

type Read = (index: number) => number;

/** A decoded sample, right-justified. Lossy samples may overshoot and are clipped. */
function codedValue(read: Read, { bits, signed, lossy }: Coded, layout: Layout): Read {
  const unused = 32 - bits;
  const value: Read = signed ? (index) => (read(index) << unused) >> unused : read;
  if (!(lossy || layout.lossy) || bits <= layout.bitsStored) return value;
  const span = 2 ** layout.bitsStored;
  const lowest = signed && layout.signed ? -span / 2 : 0;
  return (index) => Math.min(lowest + span - 1, Math.max(lowest, value(index)));
}

/**
 * A sample from its cell. Some writers say that it is left-justified and do not shift it: such cells
 * use the lowest bits, and never the highest.
 */
function nativeValue(read: Read, count: number, { highBit, bitsStored }: Layout): Read {
  const below = highBit + 1 - bitsStored;
  if (below <= 0) return read;
  let used = 0;
  for (let index = 0; index < count; index++) used |= read(index);
  const isUnshifted = used < 2 ** bitsStored && used % 2 ** below > 0;
  return isUnshifted ? read : (index) => read(index) >>> below;
}

function reader(view: DataView, bytes: number, little: boolean): Read {
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
