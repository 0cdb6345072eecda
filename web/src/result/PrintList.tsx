import { useLanguage, useSession, useStrings } from "../app/context";
import { answerOf } from "../session/study";
import type { Decided } from "./verdict";
import { decidedWords } from "./words";

/** A line for each image, in the order of the tray, and for each series; for paper alone. */
export function PrintList() {
  const strings = useStrings();
  const session = useSession();
  const language = useLanguage();
  const words = (decided: Decided) => decidedWords(decided, strings, language);
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
          {session.shown.value.map((study) => {
            const answer = answerOf(study);
            const failed = study.state.value.kind === "failed" && strings.state.failed;
            return (
              <tr key={study.id}>
                <th scope="row">{study.path}</th>
                <td>{answer ? words(answer.image) : failed}</td>
                <td>{answer && `${answer.model.name} ${answer.model.version}`}</td>
              </tr>
            );
          })}
          {session.seriesRead.value.map(({ sent, answer }) => (
            <tr key={sent[0]?.id}>
              <th scope="row">
                {sent[0]?.path} ({strings.result.seriesOf(answer.slices.length)})
              </th>
              <td>{words(answer)}</td>
              <td>{`${answer.model.name} ${answer.model.version}`}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
