import { useEffect, useState } from "preact/hooks";
import type { SeriesAnswer } from "../api/types";
import { useLanguage, useSession, useStrings } from "../app/context";
import { Icon } from "../app/icons";
import type { Outcome } from "../reading/outcome";
import type { Answer } from "../reading/send";
import { answerOf, type Study } from "../session/study";
import { failureOf } from "./reasons";
import { decidedWords } from "./words";

interface SeriesProps {
  readonly study: Study;
  readonly answer: Answer;
}

/** One answer for the series that a slice is one of, once the slices have theirs. */
export function Series({ study, answer }: SeriesProps) {
  const slices = useSession().slicesOf(study);
  const isRead = slices.every(
    (slice) => slice.file && answerOf(slice)?.model.digest === answer.model.digest,
  );
  if (slices.length === 0 || !isRead) return null;
  // Another answer, where the slices or their model are others.
  const key = `${study.facts.value?.seriesUid} ${slices.length} ${answer.model.digest}`;
  return <WholeSeries key={key} slices={slices} answer={answer} />;
}

interface WholeSeriesProps {
  readonly slices: readonly Study[];
  readonly answer: Answer;
}

function WholeSeries({ slices, answer }: WholeSeriesProps) {
  const strings = useStrings();
  const language = useLanguage();
  const session = useSession();
  const [outcome, setOutcome] = useState<Outcome<SeriesAnswer> | "coming" | null>(null);
  const [controller] = useState(() => new AbortController());
  useEffect(() => () => controller.abort(), [controller]);
  const ask = async () => {
    setOutcome("coming");
    setOutcome(await session.readSeries(slices, answer, controller.signal));
  };
  const ended = outcome === "coming" ? null : outcome;
  const said = session.seriesAnswerOf(slices);
  const problem = ended?.kind === "problem" ? ended.problem.type : "page:broken";
  return (
    <section class="series" aria-live="polite">
      {said ? (
        <>
          <h3>{strings.result.series}</h3>
          <p class="failure-what">{decidedWords(said, strings, language)}</p>
          {said.reasons.map((code) => (
            <p key={code}>{failureOf(code, said, strings).what}</p>
          ))}
          <p class="quiet" lang="en">
            {said.sentence} {said.model.intended_use}
          </p>
        </>
      ) : (
        <button
          type="button"
          class="button small"
          disabled={outcome === "coming"}
          onClick={() => void ask()}
        >
          <Icon name="retry" /> {strings.result.readSeries(slices.length)}
        </button>
      )}
      {ended && !said && <p>{strings.problem.types[problem]?.[0] ?? strings.result.noSeries}</p>}
    </section>
  );
}
