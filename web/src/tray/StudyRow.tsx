import { useEffect } from "preact/hooks";
import { useLanguage, useSession, useStrings } from "../app/context";
import { Icon } from "../app/icons";
import type { ReadingState } from "../reading/queue";
import type { Answer } from "../reading/send";
import { verdictOf } from "../result/verdict";
import { decidedWords } from "../result/words";
import type { Study } from "../session/study";
import type { Language, Strings } from "../strings";
import { focusAround } from "./focus";

interface StudyRowProps {
  readonly study: Study;
  readonly index: number;
  readonly count: number;
  readonly top: number;
  readonly isSelected: boolean;
}

export function StudyRow({ study, index, count, top, isSelected }: StudyRowProps) {
  const session = useSession();
  const strings = useStrings();
  const state = study.state.value;
  const summary = summaryOf(state, strings, useLanguage());
  return (
    <li class="study" aria-setsize={count} aria-posinset={index + 1} style={{ top: `${top}px` }}>
      <button
        type="button"
        class="study-select"
        aria-current={isSelected ? "true" : undefined}
        tabIndex={isSelected ? 0 : -1}
        title={study.path}
        onClick={() => session.select(study)}
      >
        <Thumbnail study={study} />
        <span class="study-text">
          <StudyName study={study} />
          <span class="study-line">
            <span class={`study-state ${toneOf(state)}`}>{summary}</span>
            <Model study={study} state={state} />
          </span>
          {state.kind === "sending" && <progress max={1} value={state.share} aria-hidden="true" />}
          {state.kind === "reading" && <progress max={1} aria-hidden="true" />}
        </span>
      </button>
      <RowActions study={study} index={index} state={state} isSelected={isSelected} />
    </li>
  );
}

interface RowActionProps {
  readonly study: Study;
  readonly index: number;
  readonly state: ReadingState<Answer>;
  readonly isSelected: boolean;
}

/** One button for each state, always in the same place so that it keeps the focus. */
function RowActions({ study, index, state, isSelected }: RowActionProps) {
  const session = useSession();
  const { tray } = useStrings();
  const remove = {
    icon: "close",
    label: tray.remove(study.path),
    act: () => {
      session.remove(study);
      focusAround(index);
    },
  } as const;
  const cancel = {
    icon: "close",
    label: tray.cancel(study.path),
    act: () => session.cancel(study),
  } as const;
  const retry = {
    icon: "retry",
    label: tray.retry(study.path),
    act: () => session.retry([study]),
  } as const;
  const isOver = state.kind === "failed" || state.kind === "cancelled";
  const canRetry = session.canRetry(study);
  const first = canRetry ? retry : isOver || state.kind === "done" ? remove : cancel;
  return (
    <>
      <IconButton {...first} tab={isSelected} />
      {canRetry && <IconButton {...remove} tab={isSelected} />}
    </>
  );
}

interface IconButtonProps {
  readonly icon: "close" | "retry";
  readonly label: string;
  readonly act: () => void;
  /** The tab key goes to the selected row alone; arrow keys go from row to row. */
  readonly tab: boolean;
}

function IconButton({ icon, label, act, tab }: IconButtonProps) {
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={label}
      title={label}
      tabIndex={tab ? 0 : -1}
      onClick={act}
    >
      <Icon name={icon} />
    </button>
  );
}

/** The name, behind as much of its folder as there is room for. */
function StudyName({ study }: { readonly study: Study }) {
  const folder = study.path.slice(0, -study.name.length);
  return (
    <span class="study-name">
      {folder && <span class="study-folder">{folder}</span>}
      <span class="study-file">{study.name}</span>
    </span>
  );
}

interface ModelProps {
  readonly study: Study;
  readonly state: ReadingState<Answer>;
}

/** The model that answered, and which image of its series it is. */
function Model({ study, state }: ModelProps) {
  const { series } = useSession();
  const { tray } = useStrings();
  const images = series.value.get(study.facts.value?.seriesUid ?? "");
  const model = state.kind === "done" && state.answer.model.name;
  if (!model && !images) return null;
  return (
    <span class="study-model">
      {model && <span class="study-model-name">{model}</span>}
      {images && (
        <span>
          {model && " · "}
          {tray.inSeries(images.indexOf(study) + 1, images.length)}
        </span>
      )}
    </span>
  );
}

function Thumbnail({ study }: { readonly study: Study }) {
  const { thumbnails } = useSession();
  useEffect(() => {
    thumbnails.want(study);
    return () => thumbnails.forget(study);
  }, [study, thumbnails]);
  const url = study.thumbnail.value;
  return (
    <span class="thumbnail">
      {url && url !== "none" ? (
        <img src={url} alt="" width="48" height="48" />
      ) : (
        <Icon name={url === "none" ? "alert" : "image"} />
      )}
    </span>
  );
}

function summaryOf(state: ReadingState<Answer>, strings: Strings, language: Language): string {
  switch (state.kind) {
    case "sending":
      return strings.state.sending(Math.round(state.share * 100));
    case "done":
      return decidedWords(state.answer.image, strings, language);
    default:
      return strings.state[state.kind];
  }
}

/** Colour goes along with words, never instead of them. */
function toneOf(state: ReadingState<Answer>): string {
  if (state.kind === "failed") return "bad";
  if (state.kind !== "done") return "quiet";
  return verdictOf(state.answer.image).kind;
}
