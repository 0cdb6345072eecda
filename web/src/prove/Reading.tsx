import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { PageContext, usePage } from "../app/context";
import { Icon } from "../app/icons";
import type { Session } from "../session/session";
import { createStudy, type Study } from "../session/study";
import { ViewerModel } from "../viewer/model";
import { Opening } from "../viewer/opening";
import { Stage } from "../viewer/Stage";
import { Toolbar } from "../viewer/Toolbar";
import { UNDECIDED } from "./cases";
import { useProveStrings, useSaid } from "./context";
import type { Call, Given, Trial } from "./trial";

const NO_STEP = () => {};

/** A viewer of its own, which shows one film and knows nothing of its name. */
function useFilm(trial: Trial, title: string) {
  const page = usePage();
  const { session, preferences } = page;
  const own = useMemo(() => {
    const selected = signal<Study | null>(null);
    const shown = Object.create(session, {
      selected: { value: selected },
      step: { value: NO_STEP },
    });
    return { selected, session: shown as Session, viewer: new ViewerModel(preferences.opacity) };
  }, [session, preferences]);
  const place = trial.plan.value[trial.at.value];
  const incoming = place ? trial.file(place.sha256) : null;
  useEffect(() => new Opening(own.session, own.viewer).follow(), [own]);
  useLayoutEffect(() => {
    // A file's name and folder often are its finding, so the film gets a name without either.
    own.selected.value = incoming
      ? createStudy(trial.at.peek() + 1, {
          file: new File([incoming.file], title),
          path: title,
          format: incoming.format,
        })
      : null;
  }, [own, incoming, title, trial]);
  // Between two films the viewer still shows the one before.
  const isThisFilm = own.selected.value?.id === trial.at.value + 1;
  const { kind } = own.viewer.shown.value;
  return {
    page: { ...page, session: own.session, viewer: own.viewer },
    isSeen: isThisFilm && (kind === "picture" || kind === "impossible"),
  };
}

/** One film after the other: first the reader calls, then the model is revealed. */
export function Reading({ trial }: { readonly trial: Trial }) {
  const strings = useProveStrings();
  const { dialog } = usePage();
  const at = trial.at.value;
  void trial.revision.value;
  const labels = trial.beginning.value?.labels ?? [];
  const { page, isSeen } = useFilm(trial, strings.film(at + 1));
  const [isPaused, setPaused] = useState(false);
  const call = trial.callAt(at);
  const clock = useClock(at, isSeen && !isPaused && !call);
  const isOpen = dialog.value !== null;
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const meant = meaningOf(event, labels);
      if (meant === null || isOpen || isPaused || call || !isSeen) return;
      event.preventDefault();
      event.stopPropagation();
      trial.call(meant, clock());
    };
    // Before the viewer, to which these keys mean something else.
    window.addEventListener("keydown", onKey, { capture: true });
    return () => window.removeEventListener("keydown", onKey, { capture: true });
  });
  return (
    <div class="prove-reading">
      <h1 class="unseen">{strings.title}</h1>
      <section class="viewer panel" hidden={isPaused} aria-label={strings.film(at + 1)}>
        <PageContext.Provider value={page}>
          <Toolbar answer={null} isAlone />
          <Stage />
        </PageContext.Provider>
      </section>
      <section class="prove-side panel" aria-label={strings.ask}>
        <p class="prove-place">
          <span>{strings.place(at + 1, trial.plan.value.length)}</span>
          {trial.reader.value === 2 && <strong>{strings.second}</strong>}
          <progress
            max={trial.plan.value.length}
            value={at + (call ? 1 : 0)}
            aria-label={strings.place(at + 1, trial.plan.value.length)}
          />
        </p>
        {isPaused ? (
          <p role="status">{strings.paused}</p>
        ) : call ? (
          <Revealed key={at} trial={trial} call={call} labels={labels} />
        ) : (
          <Calls labels={labels} isReady={isSeen} onCall={(said) => trial.call(said, clock())} />
        )}
        <div class="row prove-foot">
          <button type="button" class="button small" onClick={() => setPaused(!isPaused)}>
            <Icon name="clock" /> {isPaused ? strings.goOn : strings.pause}
          </button>
          <button
            type="button"
            class="button small"
            onClick={() => {
              trial.phase.value = "report";
            }}
          >
            {strings.stop}
          </button>
        </div>
      </section>
    </div>
  );
}

/** How long a film has been looked at, pauses left out. */
function useClock(at: number, isRunning: boolean): () => number {
  const clock = useRef({ at, spent: 0, since: null as number | null });
  if (clock.current.at !== at) clock.current = { at, spent: 0, since: null };
  const { current } = clock;
  if (isRunning && current.since === null) current.since = performance.now();
  if (!isRunning && current.since !== null) {
    current.spent += performance.now() - current.since;
    current.since = null;
  }
  return () => current.spent + (current.since === null ? 0 : performance.now() - current.since);
}

/** The call that a key means; null for every other key, and where it is typed into a field. */
function meaningOf(event: KeyboardEvent, labels: readonly string[]): string | null {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (event.target instanceof HTMLElement && event.target.matches("input, select, textarea")) {
    return null;
  }
  if (event.key === "0") return UNDECIDED;
  return /^[1-9]$/.test(event.key) ? (labels[Number(event.key) - 1] ?? null) : null;
}

interface CallsProps {
  readonly labels: readonly string[];
  readonly isReady: boolean;
  readonly onCall: (said: string) => void;
}

function Calls({ labels, isReady, onCall }: CallsProps) {
  const strings = useProveStrings();
  const said = useSaid(labels);
  const button = (key: number, what: string) => (
    <button
      key={what}
      type="button"
      class="button prove-call"
      disabled={!isReady}
      onClick={() => onCall(what)}
    >
      <kbd>{key}</kbd> {said(what)}
    </button>
  );
  return (
    <>
      <h2>{strings.ask}</h2>
      <div class="prove-calls">
        {labels.map((label, index) => button(index + 1, label))}
        {button(0, UNDECIDED)}
      </div>
      <p class="quiet for-keys">{strings.keysHelp(labels.length)}</p>
    </>
  );
}

interface RevealedProps {
  readonly trial: Trial;
  readonly call: Call;
  readonly labels: readonly string[];
}

/** Both answers side by side; the model's is in the page from here on, never before. */
function Revealed({ trial, call, labels }: RevealedProps) {
  const strings = useProveStrings();
  const said = useSaid(labels);
  const next = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => next.current?.focus(), []);
  // The model's answer may come after the reader's.
  void trial.revision.value;
  const given = trial.givenAt(trial.at.value);
  return (
    <>
      <div aria-live="polite" class="prove-revealed">
        <dl class="provenance">
          <div>
            <dt>{strings.yours}</dt>
            <dd>{said(call.said)}</dd>
          </div>
          <div>
            <dt>{strings.models}</dt>
            <dd class="prove-model">
              {given === null && strings.pending}
              {given && (given.said === null ? strings.unread : said(given.said, "model"))}
            </dd>
          </div>
        </dl>
        {given?.said && <Agreement call={call} given={given} />}
      </div>
      <label class="prove-field">
        <span>{strings.reason}</span>
        <select
          value={call.reason ?? ""}
          onChange={(event) => trial.giveReason(event.currentTarget.value)}
        >
          <option value="">{strings.none}</option>
          {Object.entries(strings.reasons).map(([name, words]) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <button ref={next} type="button" class="button primary" onClick={() => trial.goOn()}>
        {strings.next}
      </button>
    </>
  );
}

function Agreement({ call, given }: { readonly call: Call; readonly given: Given }) {
  const strings = useProveStrings();
  const agrees = call.said === given.said;
  return (
    <p class={`verdict ${agrees ? "good" : "doubt"}`}>
      <Icon name={agrees ? "check" : "alert"} /> {agrees ? strings.agree : strings.disagree}
    </p>
  );
}
