const SYNONYMS: Readonly<Record<string, string>> = {
  covid: "covid-19",
  covid19: "covid-19",
  tb: "tuberculosis",
  tuberculous: "tuberculosis",
  healthy: "normal",
  nofinding: "normal",
  noncovid: "other",
  infected: "infection",
  neumonia: "pneumonia",
  tuberculose: "tuberculosis",
  otro: "other",
};
const LABELS: readonly string[] = [
  "normal",
  "infection",
  "pneumonia",
  "covid-19",
  "tuberculosis",
  "other",
];

/** A label as people write it, as one that models know; null for another word. */
export function labelOf(word: string): string | null {
  const plain = word
    .normalize("NFD")
    .toLowerCase()
    .replace(/[^a-z0-9]/g, "");
  return LABELS.find((label) => label.replace("-", "") === plain) ?? SYNONYMS[plain] ?? null;
}

/**
 * A true label as one of a model's own: what it does not know by name is its "other", or its
 * "infection". Null where it has neither.
 */
export function asModels(label: string, labels: readonly string[]): string | null {
  if (labels.includes(label)) return label;
  if (label !== "normal" && labels.includes("infection")) return "infection";
  return labels.includes("other") ? "other" : null;
}

/** The label of the nearest folder that is named after one. */
export function folderLabel(path: string): string | null {
  const folders = path.split("/").slice(0, -1).reverse();
  return folders.map(labelOf).find((label) => label !== null) ?? null;
}

export interface TruthTable {
  /** The finding of a file by its path or by its SHA-256; null where the table has none. */
  readonly find: (path: string, sha256: string) => string | null;
  readonly rows: number;
  /** Rows whose finding no model knows. */
  readonly unknown: number;
}

const PATHS = ["path", "file", "filename", "image", "name", "sha256"];
const FINDINGS = ["finding", "label", "truth", "class", "diagnosis"];

/**
 * Read a table of findings: a column of paths and one of findings, named in its first line.
 *
 * @returns null where no such columns are named.
 */
export function truthTable(text: string): TruthTable | null {
  const [head, ...rows] = parseCsv(text);
  const names = (head ?? []).map((name) => name.trim().toLowerCase());
  const path = names.findIndex((name) => PATHS.includes(name));
  const finding = names.findIndex((name) => FINDINGS.includes(name));
  if (path < 0 || finding < 0) return null;
  const byKey = new Map<string, string | null>();
  let unknown = 0;
  for (const row of rows) {
    const label = labelOf(row[finding] ?? "");
    if (label === null) unknown++;
    else byKey.set(normal(row[path] ?? ""), label);
  }
  return {
    rows: rows.length,
    unknown,
    find: (file, sha256) => {
      const known = byKey.get(sha256);
      if (known) return known;
      const parts = normal(file).split("/");
      // A table may be written from a folder further in than the one that was dropped.
      for (let from = 0; from < parts.length; from++) {
        const found = byKey.get(parts.slice(from).join("/"));
        if (found) return found;
      }
      return null;
    },
  };
}

const normal = (path: string): string =>
  path
    .trim()
    .replaceAll("\\", "/")
    .replace(/^\.?\//, "");

/** Source: RFC 4180; a semicolon parts the cells where the first line has no comma. */
export function parseCsv(text: string): string[][] {
  const clean = text.replace(/^\uFEFF/, "");
  const [first = ""] = clean.split("\n", 1);
  const comma = !first.includes(",") && first.includes(";") ? ";" : ",";
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = "";
  let isQuoted = false;
  const endRow = () => {
    row.push(cell);
    if (row.some((one) => one !== "")) rows.push(row);
    row = [];
    cell = "";
  };
  for (let at = 0; at < clean.length; at++) {
    const sign = clean[at];
    if (isQuoted) {
      if (sign !== '"') cell += sign;
      else if (clean[at + 1] === '"') {
        cell += '"';
        at++;
      } else isQuoted = false;
    } else if (sign === '"') isQuoted = true;
    else if (sign === comma) {
      row.push(cell);
      cell = "";
    } else if (sign === "\n") endRow();
    else if (sign !== "\r") cell += sign;
  }
  endRow();
  return rows;
}
