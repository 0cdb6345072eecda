import { useEffect, useState } from "preact/hooks";
import { useLanguage, usePage, useStrings } from "../app/context";
import { besideLimits, decimal, percent } from "../app/format";
import { Icon } from "../app/icons";
import { saveText } from "../result/save";
import type { Language } from "../strings";
import {
  agreement,
  areas,
  type Case,
  confusion,
  findingFigures,
  isDisagreement,
  medianMs,
  ownAgreement,
  patients,
  summary,
  UNDECIDED,
} from "./cases";
import { useProveStrings, useSaid } from "./context";
import { Erase } from "./Erase";
import { FLOORS, type Judgement, judge } from "./judgement";
import { labelsCsv } from "./labels";
import { shortcuts } from "./shortcuts";
import type { Figure } from "./statistics";
import type { ProveStrings } from "./strings";
import type { Trial } from "./trial";

const ADULT = 18;
/** As many as fit on the second printed page. */
const PAGE = 24;

/** Two pages: the verdict with its figures, and where reader and model differ. */
export function Report({ trial }: { readonly trial: Trial }) {
  const strings = useProveStrings();
  const { research } = useStrings();
  const language = useLanguage();
  void trial.revision.value;
  const cases = trial.cases();
  const labels = trial.beginning.value?.labels ?? [];
  const said = useSaid(labels);
  const group = groupOf(trial, cases, strings);
  const by = trial.answeredBy;
  const model = by
    ? `${by.name} ${by.version} (${by.digest.replace("sha256:", "").slice(0, 12)})`
    : (trial.beginning.value?.model ?? "");
  const when = new Intl.DateTimeFormat(language, { dateStyle: "long" }).format(new Date());
  return (
    <div class="prove-report">
      <section class="panel prove-page" aria-labelledby="report-title">
        <p class="print-only print-research">Pneumoscope. {research}</p>
        <h1 id="report-title">{strings.reportTitle}</h1>
        <p class="quiet">{strings.about(cases.length, patients(cases), model, when)}</p>
        <div class="prove-verdict">
          <h2>{strings.verdict}</h2>
          <p class="prove-sentence">
            {words(judge(cases, labels), said, group, strings, language)}
          </p>
          <p class="quiet">
            {strings.truths[trial.truthSource()]} {strings.rule}
          </p>
        </div>
        <Confusions cases={cases} labels={labels} />
        <Figures cases={cases} labels={labels} />
        <p class="print-only prove-sign">{strings.sign}: ______________________________</p>
      </section>
      <section class="panel prove-page">
        <p class="print-only print-research">Pneumoscope. {research}</p>
        <Shortcuts trial={trial} cases={cases} />
        <Disagreements trial={trial} cases={cases} labels={labels} />
      </section>
      <Exports trial={trial} cases={cases} />
    </div>
  );
}

function words(
  judgement: Judgement,
  said: (label: string) => string,
  group: string,
  strings: ProveStrings,
  language: Language,
): string {
  const two = (value: number) => decimal(value, language, 2);
  const whole = (value: number) => percent(value, language, 0);
  switch (judgement.kind) {
    case "no-truth":
      return strings.noTruth;
    case "more":
      return strings.more(
        judgement.needed.map(([label, count]) => strings.moreOf(count, said(label))),
      );
    case "swapped":
      return strings.swapped(two(judgement.auroc.value));
    case "silent":
      return strings.silent;
    case "fit":
      return strings.fit(group, two(judgement.auroc.value), whole(judgement.accuracy.value));
    case "unfit": {
      const { auroc, accuracy } = judgement;
      const [lower, floor = ""] = besideLimits(decimal, auroc.lower, [FLOORS.auroc], language, 2);
      const [least, needed = ""] = besideLimits(
        percent,
        accuracy.lower,
        [FLOORS.accuracy],
        language,
        0,
      );
      const fails = [
        auroc.lower < FLOORS.auroc && strings.unfitAuroc(two(auroc.value), lower, floor),
        accuracy.lower < FLOORS.accuracy &&
          strings.unfitAccuracy(whole(accuracy.value), least, needed),
      ].filter((part) => part !== false);
      return `${strings.unfit(group, fails.join(strings.and))} ${strings.commission}`;
    }
  }
}

/** Adults or children, where all files tell the age. */
function groupOf(trial: Trial, cases: readonly Case[], { groups }: ProveStrings): string {
  const ages = new Map(trial.films.map(({ sha256, facts }) => [sha256, facts.age]));
  const all = cases.map(({ sha256 }) => ages.get(sha256) ?? null);
  const known = all.filter((age) => age !== null);
  const isKnown = known.length > 0 && known.length === all.length;
  if (isKnown && known.every((age) => age >= ADULT)) return groups.adults ?? "";
  if (isKnown && known.every((age) => age < ADULT)) return groups.children ?? "";
  return groups.all ?? "";
}

interface Of {
  readonly cases: readonly Case[];
  readonly labels: readonly string[];
}

function Confusions({ cases, labels }: Of) {
  const strings = useProveStrings();
  if (cases.every(({ truth }) => truth === null)) return null;
  return (
    <div class="prove-tables">
      {(["reader", "model"] as const).map((who) => (
        <ConfusionTable key={who} cases={cases} labels={labels} who={who} strings={strings} />
      ))}
    </div>
  );
}

interface ConfusionProps extends Of {
  readonly who: "reader" | "model";
  readonly strings: ProveStrings;
}

function ConfusionTable({ cases, labels, who, strings }: ConfusionProps) {
  const said = useSaid(labels);
  const table = confusion(cases, who, labels);
  const columns = [...labels, UNDECIDED];
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls by keyboard.
    <div class="table-box" tabIndex={0}>
      <table>
        <caption>{strings.confusion(who === "reader" ? strings.yours : strings.models)}</caption>
        <thead>
          <tr>
            <th scope="col">{strings.finding}</th>
            {columns.map((column) => (
              <th key={column} scope="col">
                {said(column, who)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {[...table].map(([label, row]) => (
            <tr key={label}>
              <th scope="row">{said(label)}</th>
              {columns.map((column) => (
                <td key={column} class={column === label ? "prove-hit" : undefined}>
                  {row.get(column)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Figures({ cases, labels }: Of) {
  const strings = useProveStrings();
  const language = useLanguage();
  const said = useSaid(labels);
  const part = (figure: Figure | null) => <Interval figure={figure} isShare />;
  const measure = (figure: Figure | null) => <Interval figure={figure} isShare={false} />;
  const [mine, its] = [
    findingFigures(cases, "reader", labels),
    findingFigures(cases, "model", labels),
  ];
  const [me, it] = [summary(cases, "reader"), summary(cases, "model")];
  const least = areas(cases, labels).reduce<Figure | null>(
    (a, b) => (a === null || b.lower < a.lower ? b : a),
    null,
  );
  const time = medianMs(cases);
  const kinds = ["sensitivity", "specificity", "right"] as const;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls by keyboard.
    <div class="table-box" tabIndex={0}>
      <table class="prove-figures">
        <caption>{strings.figures}</caption>
        <thead>
          <tr>
            <th scope="col">{strings.finding}</th>
            <th scope="col">{strings.yours}</th>
            <th scope="col">{strings.models}</th>
          </tr>
        </thead>
        <tbody>
          {labels.flatMap((label, at) =>
            kinds.map((kind) => (
              <tr key={`${label} ${kind}`}>
                <th scope="row">
                  {said(label)}: {strings[kind]}
                </th>
                <td>{part(mine[at]?.[kind] ?? null)}</td>
                <td>{part(its[at]?.[kind] ?? null)}</td>
              </tr>
            )),
          )}
          <tr>
            <th scope="row">{strings.accuracy}</th>
            <td>{part(me.accuracy)}</td>
            <td>{part(it.accuracy)}</td>
          </tr>
          <tr>
            <th scope="row">{strings.open}</th>
            <td>{part(me.undecided)}</td>
            <td>{part(it.undecided)}</td>
          </tr>
          <tr>
            <th scope="row">{strings.auroc}</th>
            <td>{strings.none}</td>
            <td>{measure(least)}</td>
          </tr>
          <tr>
            <th scope="row">{strings.kappa}</th>
            <td colSpan={2}>{measure(agreement(cases))}</td>
          </tr>
          <tr>
            <th scope="row">{strings.own}</th>
            <td>{part(ownAgreement(cases))}</td>
            <td>{strings.none}</td>
          </tr>
          <tr>
            <th scope="row">{strings.time}</th>
            <td>
              {time === null ? strings.none : strings.seconds(decimal(time / 1000, language, 1))}
            </td>
            <td>{strings.none}</td>
          </tr>
        </tbody>
      </table>
    </div>
  );
}

function Interval({
  figure,
  isShare,
}: {
  readonly figure: Figure | null;
  readonly isShare: boolean;
}) {
  const { none } = useProveStrings();
  const language = useLanguage();
  if (!figure) return <>{none}</>;
  const show = (value: number) =>
    isShare ? percent(value, language, 0) : decimal(value, language, 2);
  return (
    <>
      {show(figure.value)}{" "}
      <span class="quiet">
        {show(figure.lower)} – {show(figure.upper)}, n = {figure.n}
      </span>
    </>
  );
}

function Shortcuts({ trial, cases }: { readonly trial: Trial; readonly cases: readonly Case[] }) {
  const strings = useProveStrings();
  const language = useLanguage();
  const facts = new Map(trial.films.map((film) => [film.sha256, film.facts]));
  const found = shortcuts(
    cases.flatMap(({ sha256, truth }) => {
      const { device = null, size = null, view = null } = facts.get(sha256) ?? {};
      return truth === null ? [] : [{ truth, traits: { device, size, view } }];
    }),
  );
  const whole = (value: number) => percent(value, language, 0);
  return (
    <div class="prove-shortcuts">
      <h2>{strings.shortcuts}</h2>
      {found.length === 0 ? (
        <p class="quiet">{strings.noShortcuts}</p>
      ) : (
        <>
          <p class="quiet">{strings.shortcutHelp}</p>
          <ul class="checks">
            {found.map(({ trait, right, chance, isSuspect }) => (
              <li key={trait}>
                <Icon name={isSuspect ? "alert" : "check"} />
                <span>{strings.traits[trait]}</span>
                <span>{strings.shortcut(whole(right.value), whole(chance))}</span>
                {isSuspect && <strong>{strings.suspect}</strong>}
              </li>
            ))}
          </ul>
        </>
      )}
    </div>
  );
}

function Disagreements({ trial, cases, labels }: Of & { readonly trial: Trial }) {
  const strings = useProveStrings();
  const [shown, show] = useState(PAGE);
  const found = cases.filter(isDisagreement);
  return (
    <>
      <h2>{strings.disagreements(found.length)}</h2>
      <ul class="prove-thumbnails">
        {found.slice(0, shown).map((one, index) => (
          <Disagreement key={one.sha256} trial={trial} one={one} at={index + 1} labels={labels} />
        ))}
      </ul>
      {found.length > shown && (
        <button type="button" class="button" onClick={() => show(shown + PAGE)}>
          {strings.showMore}
        </button>
      )}
    </>
  );
}

interface DisagreementProps {
  readonly trial: Trial;
  readonly one: Case;
  readonly at: number;
  readonly labels: readonly string[];
}

function Disagreement({ trial, one, at, labels }: DisagreementProps) {
  const { session } = usePage();
  const strings = useProveStrings();
  const said = useSaid(labels);
  const incoming = trial.file(one.sha256);
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    if (!incoming) return;
    let made: string | null = null;
    let isCurrent = true;
    const drawn = session.parts.sketching.thumbnail(incoming.file);
    void drawn.then(
      (blob) => {
        if (!isCurrent) return;
        made = URL.createObjectURL(blob);
        setUrl(made);
      },
      () => {},
    );
    return () => {
      isCurrent = false;
      if (made) URL.revokeObjectURL(made);
    };
  }, [incoming, session]);
  const open = () => {
    if (!incoming) return;
    const [study] = session.add([incoming]);
    if (study) session.select(study);
    window.location.hash = "read";
  };
  return (
    <li>
      <button
        type="button"
        class="prove-thumbnail"
        disabled={!incoming}
        title={incoming ? undefined : strings.noFile}
        aria-label={strings.open1(at)}
        onClick={open}
      >
        {url ? <img src={url} alt="" width="96" height="96" /> : <Icon name="image" />}
      </button>
      <p>{strings.pair(said(one.reader ?? ""), said(one.model ?? "", "model"))}</p>
      {one.truth && (
        <p class="quiet">
          {strings.truth}: {said(one.truth)}
        </p>
      )}
    </li>
  );
}

function Exports({ trial, cases }: { readonly trial: Trial; readonly cases: readonly Case[] }) {
  const strings = useProveStrings();
  const isOpen = trial.plan.value.some((_, at) => !trial.callAt(at));
  const hasFiles = trial.filesCount > 0;
  const facts = new Map(trial.films.map((film) => [film.sha256, film]));
  const save = () => {
    const rows = cases.flatMap(({ sha256, truth, reader }) => {
      const incoming = trial.file(sha256);
      const film = facts.get(sha256);
      const finding = truth ?? reader;
      if (!incoming || !film || !finding || finding === UNDECIDED) return [];
      return [{ path: incoming.path, finding, patient: film.patient, facts: film.facts }];
    });
    saveText(labelsCsv(rows), "labels.csv", "text/csv");
  };
  return (
    <section class="panel prove-exports screen-only">
      <div class="row">
        <button type="button" class="button primary" onClick={() => window.print()}>
          <Icon name="print" /> {strings.print}
        </button>
        <button type="button" class="button" disabled={!hasFiles} onClick={save}>
          <Icon name="download" /> {strings.labels}
        </button>
        {isOpen && hasFiles && (
          <button type="button" class="button" onClick={() => trial.goOn()}>
            {strings.back}
          </button>
        )}
        {!isOpen && hasFiles && trial.reader.value === 1 && (
          <button type="button" class="button" onClick={() => trial.beginSecond()}>
            <Icon name="person" /> {strings.beginSecond}
          </button>
        )}
        {!hasFiles && (
          <button
            type="button"
            class="button"
            onClick={() => {
              trial.phase.value = "setup";
            }}
          >
            {strings.back}
          </button>
        )}
        <Erase trial={trial} />
      </div>
      <p class="quiet">{hasFiles ? strings.labelsNote : strings.labelsNone}</p>
      {trial.truthSource() === "none" && <p class="quiet">{strings.labelsOwn}</p>}
    </section>
  );
}
