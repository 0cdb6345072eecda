import type { OutOfDistribution, Quality, QualityCheck } from "../api/types";
import { useLanguage, useStrings } from "../app/context";
import { besideLimits, decimal } from "../app/format";
import { Icon } from "../app/icons";
import type { Strings } from "../strings";
import { adviceOf } from "./reasons";
import { Tip } from "./Tip";

interface QualityChecksProps {
  readonly quality: Quality;
  /** How the service turned the image upright, where it did. */
  readonly turned: string | null | undefined;
}

/** The image quality checks of the service, where it makes any; one line where all are passed. */
export function QualityChecks({ quality, turned }: QualityChecksProps) {
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
          <Check key={check.name} check={check} turned={turned} />
        ))}
      </ul>
    </details>
  );
}

interface CheckProps {
  readonly check: QualityCheck;
  readonly turned: string | null | undefined;
}

function Check({ check, turned }: CheckProps) {
  const strings = useStrings();
  const { result, checks } = strings;
  const language = useLanguage();
  const { lower, upper } = check;
  const limits = [lower, upper].filter((limit) => limit !== null);
  const [value, ...shown] = besideLimits(decimal, check.value, limits, language, 3);
  return (
    <li>
      <Icon name={check.passed ? "check" : "alert"} />
      <span>{checks[check.name] ?? check.name.replaceAll("_", " ")}</span>
      <span class="unseen">{check.passed ? result.passed : result.failedCheck}</span>
      <span class="number">{value}</span>
      <span class="quiet">{expected(check, shown, strings)}</span>
      {check.advice && <Advice check={check} turned={turned} text={check.advice} />}
    </li>
  );
}

/** The limits of a check in words. */
function expected(
  { lower, upper }: QualityCheck,
  [first = "", second = ""]: readonly string[],
  { result }: Strings,
): string {
  if (lower !== null && upper !== null) return result.qualityRange(first, second);
  if (upper !== null) return result.atMost(first);
  return lower === null ? "" : result.atLeast(first);
}

/** What to do, in the reader's language; the service's own words where the page has none. */
function Advice({ check, turned, text }: CheckProps & { readonly text: string }) {
  const known = adviceOf(check, turned, useStrings());
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
  const [score, limit = ""] = besideLimits(decimal, ood.score, [ood.limit], language, 3);
  return (
    <section class="block">
      <h3>
        {result.ood} <Tip label={result.ood}>{result.oodHelp}</Tip>
      </h3>
      <Verdict good={ood.accepted} text={ood.accepted ? result.oodAccepted : result.oodRefused} />
      <p class="quiet number">{result.oodScore(score, limit)}</p>
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
