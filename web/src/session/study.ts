import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { ImageFormat } from "../images/sniff";
import type { DicomFacts } from "../images/types";
import type { ReadingState } from "../reading/queue";
import type { Answer } from "../reading/send";
import type { IncomingFile } from "../tray/incoming";
import { groupOf } from "./worklist";

/** One file of the tray. Its states are signals, so that a change redraws one row alone. */
export interface Study {
  readonly id: number;
  readonly file: File;
  readonly name: string;
  /** The name with the folders that it was chosen with: series often repeat their file names. */
  readonly path: string;
  readonly format: ImageFormat | null;
  readonly state: Signal<ReadingState<Answer>>;
  /** An object URL; null where there is none yet, "none" where there will be none. */
  /** What its row counts as: a decision, "failed" or "open". */
  readonly group: ReadonlySignal<string>;
  readonly thumbnail: Signal<string | "none" | null>;
  readonly facts: Signal<DicomFacts | null>;
  readonly frame: Signal<number>;
  /** A model chosen for this image alone; null follows the choice for all. */
  readonly model: Signal<string | null>;
  /** Answers by model and frame, so that going back to one costs nothing. */
  readonly answers: Map<string, Answer>;
}

export function createStudy(id: number, { file, path, format }: IncomingFile): Study {
  const state = signal<ReadingState<Answer>>({ kind: "waiting" });
  return {
    id,
    file,
    name: file.name,
    path,
    format,
    state,
    group: computed(() => groupOf(state.value)),
    thumbnail: signal<string | null>(null),
    facts: signal<DicomFacts | null>(null),
    frame: signal(1),
    model: signal<string | null>(null),
    answers: new Map(),
  };
}

export const answerOf = (study: Study): Answer | null =>
  study.state.value.kind === "done" ? study.state.value.answer : null;
