import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { SeriesAnswer } from "../api/types";
import type { ImageFormat } from "../images/sniff";
import type { DicomFacts } from "../images/types";
import type { ReadingState } from "../reading/queue";
import type { Answer, Heatmap } from "../reading/send";
import type { IncomingFile } from "../tray/incoming";
import { groupOf } from "./worklist";

/** One file of the tray. Its states are signals, so that a change redraws one row alone. */
export interface Study {
  readonly id: number;
  /** Null where an earlier visit kept the result: images are never kept. */
  readonly file: File | null;
  readonly name: string;
  /** The name with the folders that it was chosen with: series often repeat their file names. */
  readonly path: string;
  readonly format: ImageFormat | null;
  readonly state: Signal<ReadingState<Answer>>;
  /** What its row counts as: a decision, "failed" or "open". */
  readonly group: ReadonlySignal<string>;
  /** An object URL; null where there is none yet, "none" where there will be none. */
  readonly thumbnail: Signal<string | "none" | null>;
  readonly facts: Signal<DicomFacts | null>;
  readonly frame: Signal<number>;
  /** A model chosen for this image alone; null follows the choice for all. */
  readonly model: Signal<string | null>;
  /** Answers by model and frame, so that going back to one costs nothing. */
  readonly answers: Map<string, Answer>;
  /** Heatmaps of findings that an answer came without, asked for by a click. */
  readonly heatmaps: Signal<ReadonlyMap<string, AskedHeatmap>>;
}

/** A heatmap that is asked for by itself, while it is not there, or why it will not be. */
export type AskedHeatmap = Heatmap | "coming" | "absent";

/** One answer for the slices of a series. */
export interface SeriesRead {
  readonly slices: readonly Study[];
  /** Those of them that were sent, in the order that the answer counts them in. */
  readonly sent: readonly Study[];
  readonly answer: SeriesAnswer;
}

interface Named {
  readonly name: string;
  readonly path: string;
  readonly format: ImageFormat | null;
}

export const createStudy = (id: number, incoming: IncomingFile): Study =>
  made(id, { ...incoming, name: incoming.file.name }, incoming.file, { kind: "waiting" });

function made(id: number, named: Named, file: File | null, begun: ReadingState<Answer>): Study {
  const state = signal(begun);
  return {
    id,
    file,
    name: named.name,
    path: named.path,
    format: named.format,
    state,
    group: computed(() => groupOf(state.value)),
    thumbnail: signal<string | null>(file ? null : "none"),
    facts: signal<DicomFacts | null>(null),
    frame: signal(1),
    model: signal<string | null>(null),
    answers: new Map(),
    heatmaps: signal<ReadonlyMap<string, AskedHeatmap>>(new Map()),
  };
}

export const answerOf = (study: Study): Answer | null =>
  study.state.value.kind === "done" ? study.state.value.answer : null;

export const heatmapKey = ({ body }: Answer, label: string): string => `${body.id} ${label}`;

/** The heatmap of a finding; with `label` null that of the decision, which came with the answer. */
export function heatmapOf(study: Study, label: string | null): AskedHeatmap | null {
  const answer = answerOf(study);
  if (!answer) return null;
  if (label === null || label === answer.heatmap?.label) return answer.heatmap;
  return study.heatmaps.value.get(heatmapKey(answer, label)) ?? null;
}

/** What a browser may keep of a study, once it is without pictures. */
export interface KeptStudy extends Named {
  readonly facts: DicomFacts | null;
  readonly frame: number;
  readonly model: string | null;
  readonly state: ReadingState<Answer>;
}

/** @returns null while there is nothing to keep. */
export function keptOf(study: Study): KeptStudy | null {
  const state = study.state.value;
  if (state.kind !== "done" && state.kind !== "failed") return null;
  return {
    name: study.name,
    path: study.path,
    format: study.format,
    facts: study.facts.value,
    frame: study.frame.peek(),
    model: study.model.peek(),
    state,
  };
}

/** The same without any picture. */
export function bare(kept: KeptStudy): KeptStudy {
  if (kept.state.kind !== "done") return kept;
  const answer = { ...kept.state.answer, heatmap: null, lungs: null };
  return { ...kept, state: { kind: "done", answer } };
}

export function studyOf(id: number, kept: KeptStudy): Study {
  const study = made(id, kept, null, kept.state);
  study.facts.value = kept.facts;
  study.frame.value = kept.frame;
  study.model.value = kept.model;
  return study;
}
