import type { DataSet } from "dicom-parser";
import type { Samples } from "../types";
import { TAG } from "./tags";

/**
 * Map stored values through a Modality LUT.
 *
 * Values below the table take its first entry, above it its last. Source: DICOM PS3.3 C.11.1.1.1.
 */
export function applyModalityLut(values: Samples, lut: DataSet, signed: boolean): Uint16Array {
  const count = lut.uint16(TAG.LUTDescriptor, 0) || 65_536;
  const first = (signed ? lut.int16 : lut.uint16).call(lut, TAG.LUTDescriptor, 1) ?? 0;
  const packed = (lut.elements[TAG.LUTData]?.length ?? 0) < count * 2;
  const offset = lut.elements[TAG.LUTData]?.dataOffset ?? 0;
  const table = Uint16Array.from({ length: count }, (_, entry) =>
    packed ? (lut.byteArray[offset + entry] ?? 0) : (lut.uint16(TAG.LUTData, entry) ?? 0),
  );
  const mapped = new Uint16Array(values.length);
  for (let index = 0; index < values.length; index++) {
    const entry = (values[index] as number) - first;
    mapped[index] = table[Math.min(count - 1, Math.max(0, entry))] as number;
  }
  return mapped;
}
