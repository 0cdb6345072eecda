import type { OutOfDistribution, Quality, QualityCheck } from "../api/types";
import { useLanguage, useStrings } from "../app/context";
import { decimal } from "../app/format";
import { Icon } from "../app/icons";
import type { Language, Strings } from "../strings";
import { isAbove } from "./reasons";
import { Tip } from "./Tip";

/** The image quality checks of the service, where it makes any; one line where all are passed. */
export function QualityChecks({ quality }: { readonly quality: Quality }) {
  const { result } = useStrings();
  return (
    <details class="block fold" open={!quality.accepted}>
      <summary>
        <span class="fold-title">{result.quality}</span>{" "}
        <Verdict
          good={quality.accepted}
          text={quality.accepted ? result.qualityGood : result.qualityPoor}
        />
      </summary>
      <ul class="checks">
        {quality.checks.map((check) => (
          <Check key={check.name} check={check} />
        ))}
      </ul>
    </details>
  );
}

function Check({ check }: { readonly check: QualityCheck }) {
  const strings = useStrings();
  const { result, checks } = strings;
  const language = useLanguage();
  return (
    <li>
      <Icon name={check.passed ? "check" : "alert"} />
      <span>{checks[check.name] ?? check.name.replaceAll("_", " ")}</span>
      <span class="unseen">{check.passed ? result.passed : result.failedCheck}</span>
      <span class="number">{decimal(check.value, language)}</span>
      <span class="quiet">{expected(check, strings, language)}</span>
      {check.advice && <Advice check={check} text={check.advice} />}
    </li>
  );
}

function expected({ lower, upper }: QualityCheck, { result }: Strings, language: Language): string {
  const words = (value: number) => decimal(value, language);
  if (lower !== null && upper !== null) return result.qualityRange(words(lower), words(upper));
  if (upper !== null) return result.atMost(words(upper));
  return lower === null ? "" : result.atLeast(words(lower));
}

/** What to do, in the reader's language; the service's own words where the page has none. */
function Advice({ check, text }: { readonly check: QualityCheck; readonly text: string }) {
  const { advice } = useStrings();
  const known = advice[`${check.name}_${isAbove(check) ? "upper" : "lower"}`];
  return (
    <span class="advice" lang={known ? undefined : "en"}>
      {known ? known.join(" ") : text}
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
    <span class={`verdict ${good ? "good" : "doubt"}`}>
      <Icon name={good ? "check" : "alert"} /> {text}
    </span>
  );
}
