import type { ComponentChild, ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Metric, ModelDescription } from "../api/types";
import { useLanguage, useSession, useStrings } from "../app/context";
import { Dialog } from "../app/Dialog";
import { day, decimal, metricValue, percent, shortDigest } from "../app/format";
import { providerName } from "../app/StatusStrip";
import { kindOf } from "../result/offers";
import { soughtOf } from "../result/verdict";
import type { Strings } from "../strings";
import { Markdown } from "./Markdown";
import { type Figure, useCard } from "./useCard";

/** One version of one model: what it says, how good it is, and its own card. */
export function ModelCard({ model }: { readonly model: ModelDescription }) {
  const strings = useStrings();
  const language = useLanguage();
  const id = `model-${model.name}-${model.version}`;
  return (
    <article class="model panel" aria-labelledby={id}>
      <h2 id={id}>
        {model.name} <span class="quiet">{strings.models.version(model.version)}</span>
      </h2>
      <p>{ownWords(model, strings)}</p>
      {model.site && (
        <p>
          {strings.result.commissioned(model.site.name, day(model.site.commissioned_at, language))}{" "}
          {strings.result.siteVerdicts[model.site.verdict] ?? model.site.verdict}
        </p>
      )}
      <Agreement model={model} />
      <p class="research inline">{strings.research}</p>
      <Fold title={strings.models.facts}>
        <p lang="en">{model.summary}</p>
        <Facts model={model} />
        <Findings model={model} />
      </Fold>
      <Fold title={strings.models.metrics}>
        <Metrics model={model} />
      </Fold>
      <Documents model={model} />
    </article>
  );
}

/** How often readers of this service agreed with it, where they say so. */
function Agreement({ model }: { readonly model: ModelDescription }) {
  const { models } = useStrings();
  const said = useSession().feedback.agreement.value?.find(
    ({ name, version }) => name === model.name && version === model.version,
  );
  return said ? <p>{models.agreed(said.agreed, said.agreed + said.corrected)}</p> : null;
}

/** What a model tells apart on what, in the reader's language. */
function ownWords(model: ModelDescription, { labels, models, result }: Strings): string {
  const kind = result.kinds[kindOf(model)] ?? "";
  const name = (label: string) => labels[label] ?? label;
  const sought = soughtOf(model.findings).map(name);
  if (sought.length > 0) return models.seeks(sought, kind);
  return models.tells(
    model.findings.map(({ label }) => name(label)),
    kind,
  );
}

/** Closed until asked for: ten screens of figures hide the five that matter. */
function Fold({
  title,
  children,
}: {
  readonly title: string;
  readonly children: ComponentChildren;
}) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details class="fold" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{title}</summary>
      {isOpen && children}
    </details>
  );
}

function Facts({ model }: { readonly model: ModelDescription }) {
  const strings = useStrings();
  const { models } = strings;
  const language = useLanguage();
  const { site, ages } = model;
  const rows: readonly (readonly [string, ComponentChild, string?])[] = [
    [models.takes, `${model.modalities.join(", ")} · ${model.body_parts.join(", ")}`],
    [models.trainedOn, english(model.dataset)],
    [models.licence, english(model.licence)],
    [models.trainedAt, day(model.trained_at, language)],
    ...(ages ? ([[models.ages, models.agesOf(ages[0] ?? 0, ages[1] ?? 0)]] as const) : []),
    ...(site ? ([[models.sitePatients, decimal(site.patients, language)]] as const) : []),
    [strings.result.provider, providerName(model.execution_provider, strings)],
    [strings.result.digest, shortDigest(model.digest), model.digest],
  ];
  return (
    <dl class="model-facts">
      {rows.map(([name, value, title]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd title={title}>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Findings({ model }: { readonly model: ModelDescription }) {
  const strings = useStrings();
  const { models, labels } = strings;
  const language = useLanguage();
  return (
    <Table
      caption={models.findings}
      head={[models.finding, models.operatingPoint, models.rule, models.code]}
      rows={model.findings.map((finding) => [
        labels[finding.label] ?? finding.label,
        percent(finding.operating_point, language),
        english(finding.operating_point_rule),
        finding.code.code,
      ])}
    />
  );
}

function Metrics({ model }: { readonly model: ModelDescription }) {
  const { models, labels } = useStrings();
  const language = useLanguage();
  if (model.metrics.length === 0) return null;
  const columns: readonly (readonly [string, (metric: Metric) => ComponentChild])[] = [
    [models.metric, ({ name }) => models.metricNames[name] ?? english(name.replaceAll("_", " "))],
    ...(model.metrics.some(({ label }) => label)
      ? [[models.finding, ({ label }: Metric) => label && (labels[label] ?? label)] as const]
      : []),
    [models.value, ({ name, value }) => metricValue(name, value, language)],
    [
      models.interval,
      ({ name, lower, upper }) =>
        `${metricValue(name, lower, language)} – ${metricValue(name, upper, language)}`,
    ],
    [models.dataset, ({ dataset }) => english(dataset)],
    ...(model.metrics.some(({ source }) => source)
      ? [[models.source, ({ source }: Metric) => source && english(source)] as const]
      : []),
    [models.images, ({ images }) => decimal(images, language)],
  ];
  return (
    <Table
      caption={models.metrics}
      head={columns.map(([head]) => head)}
      rows={model.metrics.map((metric) => columns.map(([, show]) => show(metric)))}
    />
  );
}

/** A text that the model's maker wrote in English alone. */
const english = (text: string): ComponentChild => <span lang="en">{text}</span>;

interface TableProps {
  readonly caption: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly ComponentChild[])[];
}

function Table({ caption, head, rows }: TableProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls by keyboard.
    <div class="table-box" tabIndex={0}>
      <table>
        <caption>{caption}</caption>
        <thead>
          <tr>
            {head.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, at) => (
            <tr key={at}>
              {row.map((value, column) => (
                <td key={head[column]}>{value}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** What a plot shows: `test-roc` is the ROC curve of the test images. */
function figureName(name: string, { plots }: Strings["models"]): string {
  const words = name.split(/[-_]/).map((word) => plots[word] ?? word);
  return words.reverse().join(", ");
}

function Documents({ model }: { readonly model: ModelDescription }) {
  const { models } = useStrings();
  return (
    <Fold title={models.figures}>
      <Plots model={model} />
    </Fold>
  );
}

/** The figures that a plot is read with: of the ROC curve the areas, of reliability the counts. */
function Legend({ figure, model }: { readonly figure: string; readonly model: ModelDescription }) {
  const { models, labels } = useStrings();
  const language = useLanguage();
  const names = LEGENDS.find(([kind]) => figure.split("-").includes(kind))?.[1] ?? [];
  const all = model.metrics.filter(({ name, source }) => names.includes(name) && source === null);
  const own = all.filter(({ label }) => label !== null);
  const shown = own.length > 0 ? own : all.slice(0, 1);
  return shown.map(({ name, label, value, images }) => (
    <span key={`${name} ${label}`} class="quiet legend-line">
      {label && `${labels[label] ?? label}: `}
      {models.metricNames[name] ?? name} {metricValue(name, value, language)},{" "}
      {models.imagesOf(images, decimal(images, language))}
    </span>
  ));
}

/** Of a plot, by a word of its name, the measured figures. */
const LEGENDS: readonly (readonly [string, readonly string[]])[] = [
  ["roc", ["auroc", "macro_auroc"]],
  ["reliability", ["ece"]],
];

function Plots({ model }: { readonly model: ModelDescription }) {
  const { models, keys } = useStrings();
  const { card, figures } = useCard(model);
  const [large, enlarge] = useState<Figure | null>(null);
  const close = () => enlarge(null);
  return (
    <>
      {figures.length === 0 && <p class="quiet">{models.noFigures}</p>}
      <div class="figures">
        {figures.map((figure) => (
          <figure key={figure.name}>
            <button type="button" class="plot" onClick={() => enlarge(figure)}>
              <img
                src={figure.url}
                alt={models.figure(figureName(figure.name, models))}
                loading="lazy"
              />
            </button>
            <figcaption>
              {figureName(figure.name, models)}
              <Legend figure={figure.name} model={model} />
            </figcaption>
          </figure>
        ))}
      </div>
      <Dialog
        open={large !== null}
        title={large ? figureName(large.name, models) : ""}
        onClose={close}
        wide
      >
        <div class="plot">
          <img
            src={large?.url ?? ""}
            alt={large ? models.figure(figureName(large.name, models)) : ""}
          />
        </div>
        <button type="button" class="button" onClick={close}>
          {keys.close}
        </button>
      </Dialog>
      {card ? (
        <details>
          <summary>{models.card}</summary>
          <div lang="en">
            <Markdown text={card} />
          </div>
        </details>
      ) : (
        <p class="quiet">{models.noCard}</p>
      )}
    </>
  );
}
