import { useSession, useStrings } from "../app/context";
import { Icon } from "../app/icons";
import type { Answer } from "../reading/send";
import type { Word } from "../session/feedback";
import { Tip } from "./Tip";
import { isOverruled } from "./verdict";
import { findingName } from "./words";

/** One click agrees with an answer or says what it should have been, where the service asks. */
export function ReadersWord({ answer }: { readonly answer: Answer }) {
  const strings = useStrings();
  const { word } = strings;
  const session = useSession();
  const { feedback } = session;
  if (feedback.agreement.value === null) return null;
  const { findings, decision } = answer.image;
  const said = feedback.said.value.get(answer.body.id);
  const say = async (what: Word) => {
    if (!(await feedback.say(answer, what))) session.notice.value = word.notTaken;
  };
  const isReferredHere = isOverruled(answer.image);
  const labels = findings.map(({ label }) => label).filter((label) => label !== null);
  return (
    <fieldset class="readers-word screen-only">
      <legend>
        {word.ask} <Tip label={word.whereLabel}>{word.where}</Tip>
      </legend>
      {!isReferredHere && (
        <button
          type="button"
          class="button"
          aria-pressed={said === "agree"}
          onClick={() => void say("agree")}
        >
          <Icon name="check" /> {word.agree}
        </button>
      )}
      {labels
        .filter((label) => isReferredHere || label !== decision)
        .map((label) => (
          <button
            key={label}
            type="button"
            class="button"
            aria-pressed={said === label}
            onClick={() => void say(label)}
          >
            {findingName(label, findings, strings)}
          </button>
        ))}
      <p class="quiet" role="status">
        {said && word.taken}
      </p>
    </fieldset>
  );
}
