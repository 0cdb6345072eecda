import { useEffect, useState } from "preact/hooks";
import { useLanguage, useSession, useStrings } from "../app/context";
import type { Answer } from "../reading/send";
import { answerOf, type Study } from "../session/study";
import { Facts } from "../viewer/Facts";
import { Actions } from "./Actions";
import { Bars } from "./Bars";
import { Likeness, QualityChecks } from "./Checks";
import { Decision } from "./Decision";
import { ProblemCard } from "./ProblemCard";
import { Provenance } from "./Provenance";
import { Tip } from "./Tip";

/** What the model sees in the selected image, readable at a glance. */
export function Result() {
  const strings = useStrings();
  const session = useSession();
  const study = session.selected.value;
  return (
    <section class="result panel" aria-label={strings.result.label}>
      {study ? <StudyResult study={study} /> : <p class="quiet">{strings.result.none}</p>}
      <Actions answer={study && answerOf(study)} />
      <PrintFoot />
    </section>
  );
}

function StudyResult({ study }: { readonly study: Study }) {
  const strings = useStrings();
  const state = study.state.value;
  return (
    <>
      <h2 class="result-file" title={study.path}>
        {study.name}
      </h2>
      <div aria-live="polite" aria-atomic="true">
        {state.kind === "done" && <Decision image={state.answer.image} />}
        {state.kind === "failed" && <ProblemCard study={study} problem={state.problem} />}
      </div>
      {/* Outside the live region: a screen reader need not hear every percent. */}
      {state.kind !== "done" && state.kind !== "failed" && (
        <p class="pending">
          {state.kind === "sending"
            ? strings.state.sending(Math.round(state.share * 100))
            : strings.state[state.kind]}
        </p>
      )}
      {state.kind === "done" && <Seen answer={state.answer} />}
      <Facts key={study.id} study={study} />
      {state.kind === "done" && <Origin answer={state.answer} />}
    </>
  );
}

function Seen({ answer }: { readonly answer: Answer }) {
  const { result } = useStrings();
  const { quality, out_of_distribution: ood, findings } = answer.image;
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
        <Bars findings={findings} />
      </section>
      {quality && <QualityChecks quality={quality} />}
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
