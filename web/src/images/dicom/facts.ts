import type { DataSet } from "dicom-parser";
import type { DicomFacts, Patient } from "../types";
import { decodeText } from "./charset";
import { numbers, transferSyntax } from "./parse";
import { syntaxName, TAG } from "./tags";

/** What a DICOM file says of itself; of the patient the age alone. */
export function facts(dataSet: DataSet): DicomFacts {
  return {
    modality: text(dataSet, TAG.Modality),
    bodyPart: text(dataSet, TAG.BodyPartExamined),
    view: text(dataSet, TAG.ViewPosition),
    laterality: text(dataSet, TAG.ImageLaterality) ?? text(dataSet, TAG.Laterality),
    photometric: text(dataSet, TAG.PhotometricInterpretation),
    transferSyntax: syntaxName(transferSyntax(dataSet)),
    bitsStored: dataSet.uint16(TAG.BitsStored) ?? null,
    rows: dataSet.uint16(TAG.Rows) ?? null,
    columns: dataSet.uint16(TAG.Columns) ?? null,
    spacingMm: spacing(dataSet),
    isAtDetector: isAtDetector(dataSet),
    frames: frameCount(dataSet),
    seriesUid: text(dataSet, TAG.SeriesInstanceUID),
    instanceNumber: dataSet.intString(TAG.InstanceNumber) ?? null,
    age: years(text(dataSet, TAG.PatientAge)),
  };
}

export const frameCount = (dataSet: DataSet): number =>
  Math.max(1, dataSet.intString(TAG.NumberOfFrames) ?? 1);

/** Who the image shows. Called only when the reader asks. */
export function patient(dataSet: DataSet): Patient {
  const characterSet = dataSet.string(TAG.SpecificCharacterSet) ?? "";
  const name = decodeText(rawBytes(dataSet, TAG.PatientName), characterSet);
  return {
    // PS3.5 6.2.1: `=` parts the component groups, `^` the components of a name.
    name: name.split("=")[0]?.replaceAll("^", " ").trim() || null,
    id: decodeText(rawBytes(dataSet, TAG.PatientID), characterSet) || null,
  };
}

function rawBytes(dataSet: DataSet, tag: string): Uint8Array {
  const element = dataSet.elements[tag];
  if (!element) return new Uint8Array();
  const { dataOffset, length } = element;
  return dataSet.byteArray.subarray(dataOffset, dataOffset + length);
}

const text = (dataSet: DataSet, tag: string): string | null =>
  dataSet.string(tag)?.trim().toUpperCase() || null;

function spacing(dataSet: DataSet): readonly [number, number] | null {
  for (const tag of [TAG.PixelSpacing, TAG.ImagerPixelSpacing]) {
    const [row, column] = numbers(dataSet, tag);
    if (row && column) return [row, column];
  }
  return null;
}

/**
 * Whether lengths are those of the shadow on the detector: nothing, or the same, is said of the
 * patient. Source: DICOM PS3.3 10.7.1.3.
 */
function isAtDetector(dataSet: DataSet): boolean {
  const imager = numbers(dataSet, TAG.ImagerPixelSpacing);
  const patient = numbers(dataSet, TAG.PixelSpacing);
  return imager.length > 0 && imager.every((mm, at) => (patient[at] || mm) === mm);
}

const PER_YEAR: Readonly<Record<string, number>> = { Y: 1, M: 12, W: 52.18, D: 365.25 };

/** Source: PS3.5 6.2, AS: three digits and D, W, M or Y. */
export function years(age: string | null): number | null {
  const [, digits, unit] = /^(\d{1,3})([DWMY])$/i.exec(age ?? "") ?? [];
  const per = PER_YEAR[unit?.toUpperCase() ?? ""];
  return digits && per ? Math.floor(Number(digits) / per) : null;
}
