import type { Problem } from "../reading/outcome";
import type { ReadingState } from "../reading/queue";
import type { Answer } from "../reading/send";
import { decisionOf } from "../result/verdict";

/** How the rows are ordered: as they came, what needs a person first, or by file name. */
export type Order = "added" | "refer" | "name";

export const ORDERS: readonly Order[] = ["added", "refer", "name"];

export const FAILED = "failed";
export const OPEN = "open";

export function groupOf(state: ReadingState<Answer>): string {
  if (state.kind === "done") return decisionOf(state.answer.image);
  return state.kind === "failed" ? FAILED : OPEN;
}

/** What needs a person soonest stands first; what is all clear or still open last. */
const URGENCY: Readonly<Record<string, number>> = {
  refer: 0,
  [FAILED]: 1,
  other: 3,
  normal: 4,
  [OPEN]: 5,
};
const FOUND = 2;

const urgency = (group: string): number => URGENCY[group] ?? FOUND;

interface Row {
  readonly path: string;
  readonly group: { readonly value: string };
  readonly facts: {
    readonly value: {
      readonly seriesUid: string | null;
      readonly instanceNumber: number | null;
    } | null;
  };
}

/** The rows of each DICOM series that has several, by Series UID and in Instance Number. */
export function seriesOf<R extends Row>(rows: readonly R[]): ReadonlyMap<string, readonly R[]> {
  const series = new Map<string, R[]>();
  for (const row of rows) {
    const uid = row.facts.value?.seriesUid;
    if (!uid) continue;
    const members = series.get(uid);
    if (members) members.push(row);
    else series.set(uid, [row]);
  }
  const number = ({ facts }: R) => facts.value?.instanceNumber ?? Number.MAX_SAFE_INTEGER;
  return new Map(
    [...series]
      .filter(([, members]) => members.length > 1)
      .map(([uid, members]) => [uid, members.toSorted((a, b) => number(a) - number(b))]),
  );
}

/** The same rows, each series together where its first one stands. */
function together<R extends Row>(
  rows: readonly R[],
  series: ReadonlyMap<string, readonly R[]>,
): readonly R[] {
  if (series.size === 0) return rows;
  return [...new Set(rows.flatMap((row) => series.get(row.facts.value?.seriesUid ?? "") ?? [row]))];
}

const byName = new Intl.Collator(undefined, { numeric: true });

/** The rows to show: those of one group or all, in an order that keeps equals as they came. */
export function arranged<R extends Row>(
  rows: readonly R[],
  filter: string | null,
  order: Order,
  series: ReadonlyMap<string, readonly R[]>,
): readonly R[] {
  const all = together(rows, series);
  const shown = filter === null ? all : all.filter(({ group }) => group.value === filter);
  if (order === "name") return shown.toSorted((a, b) => byName.compare(a.path, b.path));
  if (order === "added") return shown;
  return shown.toSorted((a, b) => urgency(a.group.value) - urgency(b.group.value));
}

/** How many rows each group has, the urgent ones first. */
export function counted(rows: readonly Row[]): readonly (readonly [string, number])[] {
  const counts = new Map<string, number>();
  for (const { group } of rows) counts.set(group.value, (counts.get(group.value) ?? 0) + 1);
  return [...counts].sort(([a], [b]) => urgency(a) - urgency(b));
}

/** Problems that the same file may not have the next time. */
const PASSING: ReadonlySet<string> = new Set([
  "body-timeout",
  "device-lost",
  "internal-error",
  "not-ready",
  "out-of-memory",
  "page:broken",
  "page:unexpected",
  "unavailable",
  "unknown-model",
]);

/** How the service says of an image that no model takes it. */
const NO_MODEL = /\b(lateral|oblique)\b|FOR PROCESSING|axial slice/;

/**
 * Whether to try again may help: a damaged file stays damaged, and what one model does not take
 * another one may.
 *
 * @param model What would be asked for now; null leaves the choice to the service.
 */
export function mayPass({ type, detail, askedModel }: Problem, model: string | null): boolean {
  if (type !== "unsuitable-image") return PASSING.has(type);
  return askedModel !== undefined && askedModel !== model && !NO_MODEL.test(detail ?? "");
}
