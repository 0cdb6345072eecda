import type { DataSet } from "dicom-parser";
import { years } from "./dicom/facts";
import { parse } from "./dicom/parse";
import { TAG } from "./dicom/tags";
import { dimensions } from "./dimensions";
import { sha256 } from "./sha256";
import { sniff } from "./sniff";
import type { FilmFacts, FilmRecord } from "./types";

/** Enough to tell the patients of a trial apart. */
const PATIENT_DIGITS = 12;

/**
 * What a trial keeps of a film.
 *
 * @param salt Of the trial: without it nobody finds an ID by its digest.
 */
export async function filmRecord(bytes: Uint8Array, salt: string): Promise<FilmRecord> {
  const digest = await sha256(bytes);
  const dataSet = sniff(bytes) === "dicom" ? parsed(bytes) : null;
  if (!dataSet)
    return { sha256: digest, patient: null, facts: { ...UNKNOWN, size: dimensions(bytes) } };
  const id = dataSet.string(TAG.PatientID)?.trim();
  return {
    sha256: digest,
    patient: id ? await pseudonym(id, salt) : null,
    facts: factsOf(dataSet),
  };
}

const UNKNOWN: FilmFacts = { view: null, age: null, sex: null, device: null, size: null };

/** A damaged file has no facts; the service says what is wrong with it. */
function parsed(bytes: Uint8Array): DataSet | null {
  try {
    return parse(bytes);
  } catch {
    return null;
  }
}

async function pseudonym(id: string, salt: string): Promise<string> {
  const digest = await sha256(new TextEncoder().encode(`${salt} ${id}`));
  return digest.slice(0, PATIENT_DIGITS);
}

function factsOf(dataSet: DataSet): FilmFacts {
  const text = (tag: string) => dataSet.string(tag)?.trim() || null;
  const device = [text(TAG.Manufacturer), text(TAG.ManufacturerModelName)].filter(Boolean);
  const [rows, columns] = [dataSet.uint16(TAG.Rows), dataSet.uint16(TAG.Columns)];
  return {
    view: text(TAG.ViewPosition)?.toUpperCase() ?? null,
    age: years(text(TAG.PatientAge)),
    sex: text(TAG.PatientSex)?.toUpperCase() ?? null,
    device: device.length > 0 ? device.join(" ") : null,
    size: rows && columns ? `${columns} × ${rows}` : null,
  };
}
