import { type Signal, signal } from "@preact/signals";
import type { ImageFormat } from "../images/sniff";
import type { DicomFacts } from "../images/types";
import type { ReadingState } from "../reading/queue";
import type { Answer } from "../reading/send";

/** One file of the tray. Its states are signals, so that a change redraws one row alone. */
export interface Study {
  readonly id: number;
  readonly file: File;
  readonly name: string;
  readonly format: ImageFormat | null;
  readonly state: Signal<ReadingState<Answer>>;
  /** An object URL; null where there is none yet, "none" where there will be none. */
  readonly thumbnail: Signal<string | "none" | null>;
  readonly facts: Signal<DicomFacts | null>;
  readonly frame: Signal<number>;
  /** Answers by model and frame, so that going back to one costs nothing. */
  readonly answers: Map<string, Answer>;
}

export function createStudy(id: number, file: File, format: ImageFormat | null): Study {
  return {
    id,
    file,
    name: file.name,
    format,
    state: signal<ReadingState<Answer>>({ kind: "waiting" }),
    thumbnail: signal<string | null>(null),
    facts: signal<DicomFacts | null>(null),
    frame: signal(1),
    answers: new Map(),
  };
}

export const answerOf = (study: Study): Answer | null =>
  study.state.value.kind === "done" ? study.state.value.answer : null;
