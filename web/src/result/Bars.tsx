import type { Finding } from "../api/types";
import { useLanguage, useStrings } from "../app/context";
import { percent } from "../app/format";

/** One bar for each finding of the model, in its own order, with the operating point marked. */
export function Bars({ findings }: { readonly findings: readonly Finding[] }) {
  const { labels } = useStrings();
  return (
    <ul class="bars">
      {findings.map((finding) => (
        <Bar key={finding.label} finding={finding} name={labels[finding.label] ?? finding.label} />
      ))}
    </ul>
  );
}

function Bar({ finding, name }: { readonly finding: Finding; readonly name: string }) {
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
    </li>
  );
}
