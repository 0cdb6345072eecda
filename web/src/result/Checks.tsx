import type { OutOfDistribution, Quality, QualityCheck } from "../api/types";
import { useLanguage, useStrings } from "../app/context";
import { decimal } from "../app/format";
import { Icon } from "../app/icons";
import { Tip } from "./Tip";

/** The image quality checks of the service, where it makes any. */
export function QualityChecks({ quality }: { readonly quality: Quality }) {
  const { result } = useStrings();
  return (
    <section class="block">
      <h3>{result.quality}</h3>
      <Verdict
        good={quality.accepted}
        text={quality.accepted ? result.qualityGood : result.qualityPoor}
      />
      <ul class="checks">
        {quality.checks.map((check) => (
          <Check key={check.name} check={check} />
        ))}
      </ul>
    </section>
  );
}

function Check({ check }: { readonly check: QualityCheck }) {
  const { result, checks } = useStrings();
  const language = useLanguage();
  const limit = (value: number | null, open: string) =>
    value === null ? open : decimal(value, language);
  return (
    <li>
      <Icon name={check.passed ? "check" : "alert"} />
      <span>{checks[check.name] ?? check.name.replaceAll("_", " ")}</span>
      <span class="unseen">{check.passed ? result.passed : result.failedCheck}</span>
      <span class="number">{decimal(check.value, language)}</span>
      <span class="quiet">
        {result.qualityRange(limit(check.lower, "−∞"), limit(check.upper, "∞"))}
      </span>
      {check.advice && <Advice check={check} text={check.advice} />}
    </li>
  );
}

/** What to do, in the reader's language; the service's own words where the page has none. */
function Advice({ check, text }: { readonly check: QualityCheck; readonly text: string }) {
  const { advice } = useStrings();
  const isAbove = check.upper !== null && check.value > check.upper;
  const known = advice[`${check.name}_${isAbove ? "upper" : "lower"}`];
  return (
    <span class="advice" lang={known ? undefined : "en"}>
      {known ?? text}
    </span>
  );
}

/** How near the image is to what the model learned from, where the service says it. */
export function Likeness({ ood }: { readonly ood: OutOfDistribution }) {
  const { result } = useStrings();
  const language = useLanguage();
  const score = result.oodScore(decimal(ood.score, language), decimal(ood.limit, language));
  return (
    <section class="block">
      <h3>
        {result.ood} <Tip label={result.ood}>{result.oodHelp}</Tip>
      </h3>
      <Verdict good={ood.accepted} text={ood.accepted ? result.oodAccepted : result.oodRefused} />
      <p class="quiet number">{score}</p>
    </section>
  );
}

function Verdict({ good, text }: { readonly good: boolean; readonly text: string }) {
  return (
    <p class={`verdict ${good ? "good" : "doubt"}`}>
      <Icon name={good ? "check" : "alert"} /> {text}
    </p>
  );
}
