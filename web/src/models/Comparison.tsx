import type { Metric, ModelDescription } from "../api/types";
import { useLanguage, useStrings } from "../app/context";
import { metricValue } from "../app/format";
import { fiveOf, isStandIn } from "./five";

const WIDTH = 120;
const HEIGHT = 16;
/** An AUROC of one half is a guess. */
const LEAST = 0.5;

/** Every model with five figures, on one screen; the first as a chart with its interval. */
export function Comparison({ models }: { readonly models: readonly ModelDescription[] }) {
  const strings = useStrings();
  const language = useLanguage();
  const { models: words } = strings;
  const hasGaps = models.some((model) => fiveOf(model).includes(null));
  const name = (metric: Metric) =>
    words.metricNames[metric.name] ?? metric.name.replaceAll("_", " ");
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls by keyboard.
    <div class="table-box panel comparison" tabIndex={0}>
      <table>
        <caption>{words.comparison}</caption>
        <thead>
          <tr>
            <th scope="col">{strings.result.model}</th>
            <th scope="col">{words.chart}</th>
            {words.five.map((head) => (
              <th key={head} scope="col">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {models.map((model) => {
            const five = fiveOf(model);
            return (
              <tr key={`${model.name} ${model.version}`}>
                <th scope="row">{model.name}</th>
                <td>{five[0] && <Interval metric={five[0]} />}</td>
                {five.map((metric, at) => (
                  <td key={words.five[at]}>
                    {metric ? metricValue(metric.name, metric.value, language) : "–"}
                    {metric && isStandIn(metric) && (
                      <strong class="figure-note">{name(metric)}</strong>
                    )}
                    {metric && (
                      <span class="quiet figure-note">
                        {metricValue(metric.name, metric.lower, language)} –{" "}
                        {metricValue(metric.name, metric.upper, language)}
                      </span>
                    )}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
      {hasGaps && <p class="quiet figure-note">{words.noFigure}</p>}
    </div>
  );
}

/** A value and its 95 % interval on a line from a guess to perfect. */
function Interval({ metric }: { readonly metric: Metric }) {
  const at = (value: number) =>
    (Math.max(0, Math.min(1, (value - LEAST) / (1 - LEAST))) * (WIDTH - 8) + 4).toFixed(1);
  const middle = HEIGHT / 2;
  return (
    <svg class="interval" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" focusable="false">
      <line class="interval-axis" x1={4} x2={WIDTH - 4} y1={middle} y2={middle} />
      <line
        class="interval-range"
        x1={at(metric.lower)}
        x2={at(metric.upper)}
        y1={middle}
        y2={middle}
      />
      <circle class="interval-value" cx={at(metric.value)} cy={middle} r={4} />
    </svg>
  );
}
