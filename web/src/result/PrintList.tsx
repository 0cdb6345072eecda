import { useLanguage, useSession, useStrings } from "../app/context";
import { percent } from "../app/format";
import { answerOf, type Study } from "../session/study";
import { verdictOf } from "./verdict";
import { verdictWord } from "./words";

/** A line for each image, in the order of the tray, for paper alone. */
export function PrintList() {
  const strings = useStrings();
  const session = useSession();
  return (
    <section class="print-only print-list">
      <p class="print-research">Pneumoscope. {strings.research}</p>
      <table>
        <caption>
          {strings.tray.done(session.doneCount.value, session.studies.value.length)}
        </caption>
        <thead>
          <tr>
            <th scope="col">{strings.facts.label}</th>
            <th scope="col">{strings.result.decision}</th>
            <th scope="col">{strings.result.model}</th>
          </tr>
        </thead>
        <tbody>
          {session.shown.value.map((study) => (
            <Line key={study.id} study={study} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Line({ study }: { readonly study: Study }) {
  const strings = useStrings();
  const language = useLanguage();
  const state = study.state.value;
  const answer = answerOf(study);
  const verdict = answer && verdictOf(answer.image);
  const finding =
    verdict && verdict.kind !== "refer"
      ? answer.image.findings.find(({ label }) => label === verdict.label)
      : null;
  return (
    <tr>
      <th scope="row">{study.path}</th>
      <td>
        {verdict ? verdictWord(verdict, strings) : state.kind === "failed" && strings.state.failed}
        {finding && ` ${percent(finding.probability, language)}`}
      </td>
      <td>{answer && `${answer.model.name} ${answer.model.version}`}</td>
    </tr>
  );
}
