import { type DataSet, parseDicom } from "dicom-parser";
import { inflateSync } from "fflate";
import { isBigEndian, isDicomFile, isExplicit, isWithoutPreamble } from "../sniff";
import { PreviewError } from "../types";
import { SYNTAX, TAG } from "./tags";

/**
 * Parse a DICOM file.
 *
 * @param until The last element to look at; all where it is absent.
 * @throws PreviewError where the file is damaged.
 */
export function parse(bytes: Uint8Array, until?: string): DataSet {
  try {
    return parseDicom(asFile(bytes), { inflater: inflated, ...(until && { untilTag: until }) });
  } catch {
    throw new PreviewError("damaged");
  }
}

const META_GROUP = 0x02;
const PREFIX_AT = 128;

/** Put what lacks of the preamble, the prefix and the transfer syntax before a data set. */
function asFile(bytes: Uint8Array): Uint8Array {
  if (isDicomFile(bytes)) return bytes;
  const lacking = isWithoutPreamble(bytes) ? [] : [...ascii("DICM"), ...lackingMeta(bytes)];
  const file = new Uint8Array(PREFIX_AT + lacking.length + bytes.length);
  file.set(lacking, PREFIX_AT);
  file.set(bytes, PREFIX_AT + lacking.length);
  return file;
}

const lackingMeta = (bytes: Uint8Array): number[] =>
  bytes[0] === META_GROUP ? [] : syntaxElement(guessedSyntax(bytes));

function guessedSyntax(bytes: Uint8Array): string {
  if (isBigEndian(bytes)) return SYNTAX.explicitBig;
  return isExplicit(bytes) ? SYNTAX.explicitLittle : SYNTAX.implicitLittle;
}

/** (0002,0010) UI, in Explicit VR Little Endian as all meta information is. */
function syntaxElement(uid: string): number[] {
  const value = ascii(uid.length % 2 ? `${uid}\0` : uid);
  return [0x02, 0x00, 0x10, 0x00, ...ascii("UI"), value.length, 0, ...value];
}

const ascii = (text: string): number[] => [...text].map((letter) => letter.charCodeAt(0));

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

/** All numbers of a multi-valued DS attribute, with a point or a comma; NaN is what is none. */
export function numbers(dataSet: DataSet, tag: string): number[] {
  const text = dataSet.string(tag);
  if (!text) return [];
  return text
    .split("\\")
    .map((part) => (part.trim() ? Number(part.replace(",", ".")) : Number.NaN));
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
