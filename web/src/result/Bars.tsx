import type { Finding } from "../api/types";
import { useLanguage, usePage, useStrings } from "../app/context";
import { besideLimits, percent } from "../app/format";
import type { Answer } from "../reading/send";
import { heatmapOf, type Study } from "../session/study";
import { findingName } from "./words";

interface BarsProps {
  readonly study: Study;
  readonly answer: Answer;
}

/** One bar for each finding of the model, in its own order, with the threshold for calling marked. */
export function Bars({ study, answer }: BarsProps) {
  const strings = useStrings();
  const { session, viewer } = usePage();
  const { findings } = answer.image;
  const own = answer.heatmap?.label;
  const shown = viewer.heatOn.value ? (viewer.heatLabel.value ?? own) : null;
  const toggle = (label: string) => {
    const isAgain = shown === label && heatmapOf(study, label) === "absent";
    if (!isAgain) viewer.toggleHeat(label, own);
    if (viewer.heatOn.peek() && label !== own) void session.explain(study, answer, label);
  };
  return (
    <ul class="bars">
      {findings.map((finding) => (
        <Bar
          key={finding.label}
          finding={finding}
          name={findingName(finding.label, findings, strings)}
          isShown={shown === finding.label}
          // What came without one has none of the others either.
          {...(own && { onHeat: () => toggle(finding.label) })}
        />
      ))}
    </ul>
  );
}

interface BarProps {
  readonly finding: Finding;
  readonly name: string;
  /** Its heatmap is over the radiograph. */
  readonly isShown: boolean;
  /** Shows or hides its heatmap; absent where there is none. */
  readonly onHeat?: () => void;
}

function Bar({ finding, name, isShown, onHeat }: BarProps) {
  const { result } = useStrings();
  const language = useLanguage();
  const { probability: value, operating_point: limit } = finding;
  const [probability, point = ""] = besideLimits(percent, value, [limit], language, 1);
  const state = finding.present ? result.present : result.absent;
  const text = result.barText(name, probability, point, state);
  const at = `${finding.operating_point * 100}%`;
  return (
    <li class={`bar ${finding.present ? "present" : ""} ${finding.label}`} title={text}>
      <span class="unseen">{text}</span>
      <span class="bar-name" aria-hidden="true">
        {name}
      </span>
      <span class="bar-value number" aria-hidden="true">
        {probability}
      </span>
      <span class="bar-track" aria-hidden="true">
        <span class="bar-fill" style={{ width: `${finding.probability * 100}%` }} />
        <span class="bar-point" style={{ left: at }} />
      </span>
      <span class="bar-note" aria-hidden="true">
        {result.operatingPoint} <span class="number">{point}</span>
      </span>
      {onHeat && (
        <button
          type="button"
          class="bar-heat"
          aria-label={result.heatFor(name)}
          title={result.heatFor(name)}
          aria-pressed={isShown}
          onClick={onHeat}
        />
      )}
    </li>
  );
}
