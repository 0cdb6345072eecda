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
  "precision",
  "frame",
  "decode_ms",
  "queue_ms",
  "inference_ms",
  "total_ms",
  "sha256",
  "prediction_id",
  "request_id",
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
  const checks = (image.quality?.checks ?? []).map(({ name, value }) => [`quality_${name}`, value]);
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
    precision: body.precision,
    request_id: state.answer.requestId,
    decode_ms: body.timing_ms.decode,
    queue_ms: body.timing_ms.queue,
    inference_ms: body.timing_ms.inference,
    total_ms: body.timing_ms.total,
    sha256: image.sha256,
    prediction_id: body.id,
    ...Object.fromEntries(findings),
    ...Object.fromEntries(checks),
    ood_score: image.out_of_distribution?.score ?? null,
    ood_limit: image.out_of_distribution?.limit ?? null,
    heatmap_label: state.answer.heatmap?.label ?? null,
    heatmap_inside_lungs: state.answer.heatmap?.insideLungs ?? null,
  };
}

/** The same studies as the service answered them, without their pictures. */
export function batchJson(studies: readonly Study[]): string {
  const rows = studies.flatMap(({ path, state }): readonly object[] => {
    const { value } = state;
    if (value.kind === "failed") return [{ file: path, problem: value.problem }];
    if (value.kind !== "done") return [];
    const { body, asked, requestId } = value.answer;
    return [{ file: path, asked, request_id: requestId, answer: body }];
  });
  return `${JSON.stringify(rows, null, 2)}\n`;
}
