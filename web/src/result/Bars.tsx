import type { Finding } from "../api/types";
import { useLanguage, usePage, useStrings } from "../app/context";
import { percent } from "../app/format";
import type { Answer } from "../reading/send";
import { findingName } from "./words";

/** One bar for each finding of the model, in its own order, with the threshold for calling marked. */
export function Bars({ answer }: { readonly answer: Answer }) {
  const strings = useStrings();
  const { findings } = answer.image;
  return (
    <ul class="bars">
      {findings.map((finding) => (
        <Bar
          key={finding.label}
          finding={finding}
          name={findingName(finding.label, findings, strings)}
          hasHeat={answer.heatmap?.label === finding.label}
        />
      ))}
    </ul>
  );
}

interface BarProps {
  readonly finding: Finding;
  readonly name: string;
  readonly hasHeat: boolean;
}

function Bar({ finding, name, hasHeat }: BarProps) {
  const { viewer } = usePage();
  const { result } = useStrings();
  const language = useLanguage();
  const probability = percent(finding.probability, language);
  const point = percent(finding.operating_point, language);
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
      {hasHeat && (
        <button
          type="button"
          class="bar-heat"
          aria-label={result.heatFor(name)}
          title={result.heatFor(name)}
          aria-pressed={viewer.heatOn.value}
          onClick={() => {
            viewer.heatOn.value = !viewer.heatOn.value;
          }}
        />
      )}
    </li>
  );
}
