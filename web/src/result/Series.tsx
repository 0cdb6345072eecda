import { useState } from "preact/hooks";
import type { SeriesAnswer } from "../api/types";
import { useLanguage, useSession, useStrings } from "../app/context";
import { Icon } from "../app/icons";
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
  const [said, setSaid] = useState<SeriesAnswer | "coming" | "absent" | null>(null);
  const ask = async () => {
    setSaid("coming");
    setSaid((await session.readSeries(slices, answer)) ?? "absent");
  };
  return (
    <section class="series" aria-live="polite">
      {said !== null && typeof said !== "string" ? (
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
          disabled={said === "coming"}
          onClick={() => void ask()}
        >
          <Icon name="retry" /> {strings.result.readSeries(slices.length)}
        </button>
      )}
      {said === "absent" && <p>{strings.result.noSeries}</p>}
    </section>
  );
}
