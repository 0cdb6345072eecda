import type { FilmFacts } from "../images/types";

export interface Labelled {
  readonly path: string;
  readonly finding: string;
  readonly patient: string | null;
  readonly facts: FilmFacts;
}

const COLUMNS = ["path", "finding", "patient", "view", "age", "sex", "device"] as const;

/**
 * The table of labels as `pneumo-commission` takes it, paths below the folder that was dropped.
 *
 * Source: RFC 4180. Cells are written as they are: an apostrophe before a formula's sign would
 * change a path.
 */
export function labelsCsv(films: readonly Labelled[]): string {
  const root = commonFolder(films.map(({ path }) => path));
  const rows = films.map(({ path, finding, patient, facts }) => [
    safePath(path.slice(root.length)),
    finding,
    patient ?? "",
    facts.view ?? "",
    facts.age === null ? "" : String(facts.age),
    facts.sex ?? "",
    facts.device ?? "",
  ]);
  return [COLUMNS, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/** The folder that all paths begin with, with its slash; the one that was dropped. */
export function commonFolder(paths: readonly string[]): string {
  const [first = ""] = paths;
  const folder = first.includes("/") ? first.slice(0, first.indexOf("/") + 1) : "";
  return folder !== "" && paths.every((path) => path.startsWith(folder)) ? folder : "";
}

/** A spreadsheet takes no path below `./` for a formula. */
const safePath = (path: string): string => (/^[=+\-@]/.test(path) ? `./${path}` : path);

const cell = (text: string): string =>
  /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
