import type { Answer } from "../reading/send";
import type { SeriesRead, Study } from "../session/study";
import { type Decided, verdictOf } from "./verdict";

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

/** Behind the columns of the findings, which differ from batch to batch. */
const LAST = [
  "turned",
  "series_instance_uid",
  "series_slices",
  "series_left_out",
  "series_rule",
  "intended_use",
] as const;

/** In English, as the columns' names are and as the service says it. */
const RESEARCH = "Research only. Not for diagnosis.";

type Row = Partial<Record<string, string | number | null>>;

/**
 * One line for each study that was read or could not be, then one for each series that was read as
 * one; the labels of all models as columns.
 */
export function batchCsv(studies: readonly Study[], series: readonly SeriesRead[]): string {
  const rows = [...studies.map(rowOf), ...series.map(seriesRow)].filter((row) => row !== null);
  const named: readonly string[] = [...FIXED, ...LAST];
  const extra = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter(
    (name) => !named.includes(name),
  );
  const columns = [...FIXED, ...extra, ...LAST];
  const lines = rows.map((row) =>
    // A table goes from hand to hand in parts, so that each row says it.
    columns.map((name) => cell(name === "intended_use" ? RESEARCH : row[name])).join(","),
  );
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
  const checks = (image.quality?.checks ?? []).map(({ name, value }) => [`quality_${name}`, value]);
  return {
    file: study.path,
    status: "ok",
    ...decidedCells(image),
    ...modelCells(model),
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
    ...findingCells(image),
    ...Object.fromEntries(checks),
    ood_score: image.out_of_distribution?.score ?? null,
    ood_limit: image.out_of_distribution?.limit ?? null,
    heatmap_label: state.answer.heatmap?.label ?? null,
    heatmap_inside_lungs: state.answer.heatmap?.insideLungs ?? null,
    turned: image.image.turned ?? null,
    series_instance_uid: image.image.series_instance_uid ?? null,
  };
}

/** A series under the name of its first slice; its status keeps it out of counts of images. */
function seriesRow({ sent, answer }: SeriesRead): Row {
  return {
    file: sent[0]?.path ?? "",
    status: "series",
    ...decidedCells(answer),
    ...modelCells(answer.model),
    ...findingCells(answer),
    series_instance_uid: answer.series_instance_uid ?? null,
    series_slices: answer.slices.length,
    series_left_out: answer.left_out.length,
    series_rule: answer.rule,
  };
}

function decidedCells(decided: Decided): Row {
  const verdict = verdictOf(decided);
  return verdict.kind === "refer"
    ? { decision: "refer", reasons: verdict.reasons.join(" ") }
    : { decision: verdict.label, reasons: "" };
}

const modelCells = ({ name, version, digest }: Answer["model"]): Row => ({
  model: name,
  version,
  digest,
});

const findingCells = ({ findings }: Decided): Row =>
  Object.fromEntries(
    findings.flatMap(({ label, probability, operating_point, present }) => [
      [`probability_${label}`, probability],
      [`operating_point_${label}`, operating_point],
      [`present_${label}`, String(present)],
    ]),
  );

/** The same as the service answered it, without its pictures. */
export function batchJson(studies: readonly Study[], series: readonly SeriesRead[]): string {
  const rows = studies.flatMap(({ path, state }): readonly object[] => {
    const { value } = state;
    if (value.kind === "failed") return [{ file: path, problem: value.problem }];
    if (value.kind !== "done") return [];
    const { body, asked, requestId } = value.answer;
    return [{ file: path, asked, request_id: requestId, answer: body }];
  });
  // A series counts its slices from 0, in the order of these files.
  const asOne = series.map(({ sent, answer }) => ({
    files: sent.map(({ path }) => path),
    series: answer,
  }));
  return `${JSON.stringify([...rows, ...asOne], null, 2)}\n`;
}
