import type { DataSet } from "dicom-parser";
import { type LookupTable, type Padding, PreviewError, type Samples } from "../types";
import { isIn } from "../window";
import { lowBits } from "./samples";
import { TAG } from "./tags";

const MOST_ENTRIES = 65_536;

/**
 * Read an item of a Modality or VOI LUT Sequence.
 *
 * Source: DICOM PS3.3 C.11.1.1: 0 entries mean 65536. A table of 8-bit entries may hold two in each
 * word, the first of them in the low byte. The depth is that of the entries themselves: writers put
 * 12 bits into tables of 16, and the other way round.
 *
 * @param signed Whether the values that the table maps may be negative.
 * @throws PreviewError where the data is shorter or deeper than its descriptor says.
 */
export function lookupTable(lut: DataSet, signed: boolean): LookupTable {
  const count = lut.uint16(TAG.LUTDescriptor, 0) || MOST_ENTRIES;
  const named = lut.uint16(TAG.LUTDescriptor, 1) ?? 0;
  // Read as a negative number, it is one where the table would not end within 16 bits.
  const isSigned = lut.elements[TAG.LUTDescriptor]?.vr === "SS" && named + count > MOST_ENTRIES;
  const first = lowBits(named, 16, signed || isSigned);
  const bits = lut.uint16(TAG.LUTDescriptor, 2) ?? 0;
  const words = Math.floor((lut.elements[TAG.LUTData]?.length ?? 0) / 2);
  const isPacked = words < count && bits === 8;
  const isDescribed = lut.elements[TAG.LUTDescriptor]?.length === 6 && bits >= 1 && bits <= 16;
  if (!isDescribed || words * (isPacked ? 2 : 1) < count) throw new PreviewError("damaged");
  const word = (index: number): number => lut.uint16(TAG.LUTData, index) ?? 0;
  const entries = Uint16Array.from({ length: count }, (_, index) => {
    if (!isPacked) return word(index);
    return (word(index >> 1) >> (index % 2 ? 8 : 0)) & 0xff;
  });
  const greatest = entries.reduce((most, entry) => Math.max(most, entry), 0);
  return { first, entries, bits: Math.max(8, 32 - Math.clz32(greatest)) };
}

/**
 * Map stored values through a Modality LUT.
 *
 * Values below the table take its first entry, above it its last. Source: DICOM PS3.3 C.11.1.1.1.
 * Padding, which is told by the stored value, comes back as -1, which no table has.
 */
export function modalityValues(
  values: Samples,
  { first, entries }: LookupTable,
  padding: Padding | null,
): { pixels: Samples; padding: Padding | null } {
  const pixels = padding ? new Float32Array(values.length) : new Uint16Array(values.length);
  for (let index = 0; index < values.length; index++) {
    const value = values[index] as number;
    const isPadding = isIn(padding, value);
    const entry = Math.min(entries.length - 1, Math.max(0, Math.round(value) - first));
    pixels[index] = isPadding ? -1 : (entries[entry] as number);
  }
  return { pixels, padding: padding && [-1, -1] };
}
