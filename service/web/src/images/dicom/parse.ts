import { type DataSet, parseDicom } from "dicom-parser";
import { inflateSync } from "fflate";
import { PreviewError } from "../types";
import { SYNTAX, TAG } from "./tags";

/**
 * Parse a DICOM file.
 *
 * @throws PreviewError where the file is damaged.
 */
export function parse(bytes: Uint8Array): DataSet {
  try {
    return parseDicom(bytes, { inflater: inflated });
  } catch {
    throw new PreviewError("damaged");
  }
}

export const transferSyntax = (dataSet: DataSet): string =>
  dataSet.string(TAG.TransferSyntaxUID) ?? SYNTAX.implicitLittle;

/**
 * Inflate all that follows the file meta information. The browser's own inflater refuses the null
 * byte that may pad the file to an even length (PS3.5 A.5); this one stops where the data ends.
 */
function inflated(bytes: Uint8Array, start: number): Uint8Array {
  const rest = inflateSync(bytes.subarray(start));
  const whole = new Uint8Array(start + rest.length);
  whole.set(bytes.subarray(0, start));
  whole.set(rest, start);
  return whole;
}

/** All numbers of a multi-valued DS or IS attribute. */
export function numbers(dataSet: DataSet, tag: string): number[] {
  const text = dataSet.string(tag) ?? "";
  return text
    .split("\\")
    .map((part) => Number.parseFloat(part))
    .filter((value) => Number.isFinite(value));
}

/** The first item of a sequence. */
export const item = (dataSet: DataSet | undefined, tag: string): DataSet | undefined =>
  dataSet?.elements[tag]?.items?.[0]?.dataSet;

/**
 * The item that describes a frame: of an enhanced multi-frame image its functional group, else the
 * data set itself.
 */
export function frameItem(dataSet: DataSet, frame: number, sequence: string): DataSet {
  const own = dataSet.elements[TAG.PerFrameFunctionalGroups]?.items?.[frame - 1]?.dataSet;
  const shared = item(dataSet, TAG.SharedFunctionalGroups);
  return item(own, sequence) ?? item(shared, sequence) ?? dataSet;
}
