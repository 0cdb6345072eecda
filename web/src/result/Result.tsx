import { useEffect, useState } from "preact/hooks";
import { useLanguage, useSession, useStrings } from "../app/context";
import type { Answer } from "../reading/send";
import type { Study } from "../session/study";
import { Facts } from "../viewer/Facts";
import { Actions } from "./Actions";
import { Bars } from "./Bars";
import { Likeness, QualityChecks } from "./Checks";
import { Decision } from "./Decision";
import { ProblemCard } from "./ProblemCard";
import { Provenance } from "./Provenance";
import { ReadersWord } from "./ReadersWord";
import { Series } from "./Series";
import { Tip } from "./Tip";
import { verdictOf } from "./verdict";

/** What the model sees in the selected image, readable at a glance. */
export function Result() {
  const strings = useStrings();
  const session = useSession();
  const study = session.selected.value;
  return (
    <section class="result panel" aria-label={strings.result.label}>
      <div class="result-scroll">
        {study ? <StudyResult study={study} /> : <p class="quiet">{strings.result.none}</p>}
      </div>
      <Actions study={study} />
      <PrintFoot />
    </section>
  );
}

function StudyResult({ study }: { readonly study: Study }) {
  const strings = useStrings();
  const state = study.state.value;
  return (
    <>
      <div class="result-head">
        <h2 class="result-file" title={study.path}>
          {study.name}
        </h2>
        <div aria-live="polite" aria-atomic="true">
          {state.kind === "done" && <Decision study={study} answer={state.answer} />}
          {state.kind === "failed" && <ProblemCard study={study} problem={state.problem} />}
        </div>
        {state.kind === "done" && <Series study={study} answer={state.answer} />}
        {/* Outside the live region: a screen reader need not hear every percent. */}
        {state.kind !== "done" && state.kind !== "failed" && (
          <p class="pending">
            {state.kind === "sending"
              ? strings.state.sending(Math.round(state.share * 100))
              : strings.state[state.kind]}
          </p>
        )}
      </div>
      <div class="result-rest">
        {state.kind === "done" && <Seen key={study.id} study={study} answer={state.answer} />}
        <Facts key={study.id} study={study} />
        {state.kind === "done" && <Origin answer={state.answer} />}
      </div>
    </>
  );
}

interface SeenProps {
  readonly study: Study;
  readonly answer: Answer;
}

function Seen({ study, answer }: SeenProps) {
  const { result } = useStrings();
  const { quality, out_of_distribution: ood } = answer.image;
  if (verdictOf(answer.image).kind === "refer") return <Muted study={study} answer={answer} />;
  return (
    <>
      <section class="block">
        <h3>
          {result.findings}{" "}
          <Tip label={result.meaning}>
            {result.meaningText.map((text) => (
              <span key={text} class="tip-paragraph">
                {text}
              </span>
            ))}
          </Tip>
        </h3>
        <Bars study={study} answer={answer} />
      </section>
      <ReadersWord answer={answer} />
      {quality && <QualityChecks quality={quality} turned={answer.image.image.turned} />}
      {ood && <Likeness ood={ood} />}
    </>
  );
}

/** Of a referred image the numbers are closed until asked for, and never look like an answer. */
function Muted({ study, answer }: SeenProps) {
  const { result } = useStrings();
  const { quality, out_of_distribution: ood } = answer.image;
  return (
    <>
      <details class="block fold muted">
        <summary>{result.mutedFindings}</summary>
        <p class="quiet">{result.mutedNote}</p>
        <Bars study={study} answer={answer} />
      </details>
      <ReadersWord answer={answer} />
      {quality && <QualityChecks quality={quality} turned={answer.image.image.turned} />}
      {ood && <Likeness ood={ood} />}
    </>
  );
}

function Origin({ answer }: { readonly answer: Answer }) {
  const { result } = useStrings();
  return (
    <section class="block">
      <h3>{result.model}</h3>
      <Provenance answer={answer} />
    </section>
  );
}

function PrintFoot() {
  const { result } = useStrings();
  const language = useLanguage();
  const [when, setWhen] = useState(() => new Date());
  useEffect(() => {
    const onPrint = () => setWhen(new Date());
    window.addEventListener("beforeprint", onPrint);
    return () => window.removeEventListener("beforeprint", onPrint);
  }, []);
  const format = new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "short" });
  return <p class="print-only quiet">{result.printed(format.format(when))}</p>;
}
