import type { EvidenceResult, ModelDescription } from "../api/types";
import { useLanguage, useSession, useStrings } from "../app/context";
import { day, percent } from "../app/format";
import { Icon, type IconName } from "../app/icons";
import type { Answer } from "../reading/send";
import type { Study } from "../session/study";
import { checked, evidenceOf, siteAccuracy } from "./evidence";
import { OtherKind } from "./OtherKind";
import { failureOf } from "./reasons";
import { type Verdict, verdictOf } from "./verdict";
import { verdictWord } from "./words";

interface DecisionProps {
  readonly study: Study;
  readonly answer: Answer;
}

/** The answer in one word, what it rests on, or why there is none. */
export function Decision({ study, answer }: DecisionProps) {
  const strings = useStrings();
  const verdict = verdictOf(answer.image);
  const [tone, icon] = APPEARANCE[verdict.kind];
  const model = useModel(answer);
  return (
    <div class={`decision ${tone}`}>
      <p class="decision-kicker">{strings.result.decision}</p>
      <p class="decision-word">
        <Icon name={icon} /> <span>{verdictWord(verdict, strings)}</span>
      </p>
      {verdict.kind === "refer" ? (
        <Failures codes={verdict.reasons} answer={answer} />
      ) : (
        <>
          <p class="decision-lead">{leadOf(verdict, strings)}</p>
          {model && (
            <Grounds model={model} verdict={verdict} evidence={answer.image.evidence ?? null} />
          )}
        </>
      )}
      <Turned how={answer.image.image.turned} />
      {model && <Limits model={model} age={study.facts.value?.age ?? null} />}
      <OtherKind study={study} answer={answer} />
      <Disagreement study={study} answer={answer} />
    </div>
  );
}

const APPEARANCE: Readonly<Record<Verdict["kind"], readonly [string, IconName]>> = {
  refer: ["refer", "person"],
  normal: ["normal", "check"],
  found: ["found", "finding"],
  negative: ["negative", "minus"],
};

function leadOf(verdict: Verdict, strings: ReturnType<typeof useStrings>): string {
  if (verdict.kind === "negative") return strings.result.negativeLead;
  return strings.result.decided(verdictWord(verdict, strings));
}

interface FailuresProps {
  readonly codes: readonly string[];
  readonly answer: Answer;
}

/** What is wrong with the image comes first, and what to do about it stands with it. */
function Failures({ codes, answer }: FailuresProps) {
  const strings = useStrings();
  const failures = codes.map((code) => failureOf(code, answer.image, strings));
  return (
    <>
      {failures.length > 0 && (
        <ul class="failures">
          {failures.map(({ what, advice, isForeign }) => (
            <li key={what}>
              <span class="failure-what">{what}</span>{" "}
              {advice && <span lang={isForeign ? "en" : undefined}>{advice}</span>}
            </li>
          ))}
        </ul>
      )}
      <p class="decision-lead">{strings.result.referLead}</p>
    </>
  );
}

/** What the service says of the model that answered; null while it is not known. */
function useModel({ model }: Answer): ModelDescription | null {
  const models = useSession().models.value ?? [];
  const isIt = ({ name, version }: ModelDescription) =>
    name === model.name && String(version) === String(model.version);
  return models.find(isIt) ?? null;
}

interface GroundsProps {
  readonly model: ModelDescription;
  readonly verdict: Exclude<Verdict, { kind: "refer" }>;
  /** Of the images of the training that this one is like; it goes before that of all. */
  readonly evidence: EvidenceResult | null;
}

/** How often such a call was right on held-out images, and what the model learned from. */
function Grounds({ model, verdict, evidence: own }: GroundsProps) {
  const strings = useStrings();
  const { result } = strings;
  const language = useLanguage();
  const evidence = own ? checked(own.called, own.right) : evidenceOf(model.metrics, verdict.label);
  const here = model.site ? siteAccuracy(model) : null;
  return (
    <div class="grounds">
      {here ? (
        <>
          <p class="grounds-share">
            <span class="number">{percent(here.value, language, 0)}</span> {result.rightHere}
          </p>
          <p>
            {result.rightHereOf(
              here.images,
              percent(here.lower, language, 0),
              percent(here.upper, language, 0),
            )}
          </p>
        </>
      ) : evidence ? (
        <>
          <p class="grounds-share">
            <span class="number">{percent(evidence.right / evidence.called, language, 0)}</span>{" "}
            {result.rightLabel}
          </p>
          <p>
            {result.right(
              evidence.right,
              evidence.called,
              verdictWord(verdict, strings),
              own?.source ?? null,
            )}{" "}
            {result.rightElsewhere}
          </p>
        </>
      ) : (
        <p>{result.rightUnknown}</p>
      )}
      <p class="quiet grounds-data" title={model.dataset}>
        {result.trainedOn} <span lang="en">{model.dataset}</span>
      </p>
    </div>
  );
}

/** How the service brought the image upright for the model, where it did. */
function Turned({ how }: { readonly how: string | null | undefined }) {
  const { result } = useStrings();
  return how ? <p class="turn-note">{result.turned(how)}</p> : null;
}

interface LimitsProps {
  readonly model: ModelDescription;
  /** The patient's, in years; null where nobody says it. */
  readonly age: number | null;
}

/** Where the model was commissioned, and whom it did not learn from. */
function Limits({ model, age }: LimitsProps) {
  const { result } = useStrings();
  const language = useLanguage();
  const { site, ages } = model;
  const [youngest, oldest] = ages ?? [];
  const isOutside =
    age !== null &&
    youngest !== undefined &&
    oldest !== undefined &&
    (age < youngest || age > oldest);
  return (
    <>
      {isOutside && (
        <p class="age-note">
          <Icon name="alert" /> {result.ageOutside(age, youngest, oldest)}
        </p>
      )}
      {site && (
        <p class="site-note">
          {result.commissioned(site.name, day(site.commissioned_at, language))}{" "}
          {result.siteVerdicts[site.verdict] ?? site.verdict}
        </p>
      )}
    </>
  );
}

/** What other models said of this very image, where they said something else. */
function Disagreement({ study, answer }: DecisionProps) {
  const strings = useStrings();
  const said = [...study.answers.values()].filter(
    ({ asked }) => asked.frame === answer.asked.frame,
  );
  const words = new Map(
    said.map(({ model, image }) => [model.name, verdictWord(verdictOf(image), strings)]),
  );
  if (new Set(words.values()).size < 2) return null;
  return (
    <div class="disagreement">
      <h3>
        <Icon name="alert" /> {strings.result.disagree}
      </h3>
      <ul>
        {[...words].map(([model, word]) => (
          <li key={model}>{strings.result.saysModel(model, word)}</li>
        ))}
      </ul>
    </div>
  );
}
