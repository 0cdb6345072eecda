import type { Study } from "../session/study";
import { verdictOf } from "./verdict";

/** Without it a spreadsheet takes the text for another encoding. */
const BYTE_ORDER_MARK = "\uFEFF";
const NEW_LINE = "\r\n";
/** A spreadsheet would take such a cell for a formula. */
const FORMULA = /^[=+\-@\t\r]/;

/**
 * Write a cell.
 *
 * Source: RFC 4180; the leading apostrophe keeps spreadsheets from running a cell as a formula.
 */
export function cell(value: string | number | null | undefined): string {
  if (typeof value === "number") return String(value);
  const text = value ?? "";
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const FIXED = [
  "file",
  "status",
  "decision",
  "reasons",
  "model",
  "version",
  "digest",
  "execution_provider",
  "frame",
  "total_ms",
  "sha256",
  "prediction_id",
  "problem",
  "detail",
] as const;

type Row = Partial<Record<string, string | number | null>>;

/** One line for each study that was read or could not be; the labels of all models as columns. */
export function batchCsv(studies: readonly Study[]): string {
  const rows = studies.map(rowOf).filter((row) => row !== null);
  const extra = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter(
    (name) => !(FIXED as readonly string[]).includes(name),
  );
  const columns = [...FIXED, ...extra];
  const lines = rows.map((row) => columns.map((name) => cell(row[name])).join(","));
  return BYTE_ORDER_MARK + [columns.map(cell).join(","), ...lines, ""].join(NEW_LINE);
}

export const csvCount = (studies: readonly Study[]): number =>
  studies.filter(({ state }) => state.value.kind === "done" || state.value.kind === "failed")
    .length;

function rowOf(study: Study): Row | null {
  const state = study.state.value;
  if (state.kind === "failed") {
    const { type, detail } = state.problem;
    return { file: study.path, status: "error", problem: type, detail: detail ?? "" };
  }
  if (state.kind !== "done") return null;
  const { body, image, asked, model } = state.answer;
  const verdict = verdictOf(image);
  const findings = image.findings.flatMap(({ label, probability, operating_point, present }) => [
    [`probability_${label}`, probability],
    [`operating_point_${label}`, operating_point],
    [`present_${label}`, String(present)],
  ]);
  return {
    file: study.path,
    status: "ok",
    decision: verdict.kind === "refer" ? "refer" : verdict.label,
    reasons: verdict.kind === "refer" ? verdict.reasons.join(" ") : "",
    model: model.name,
    version: model.version,
    digest: model.digest,
    execution_provider: body.execution_provider,
    frame: asked.frame,
    total_ms: body.timing_ms.total,
    sha256: image.sha256,
    prediction_id: body.id,
    ...Object.fromEntries(findings),
  };
}
