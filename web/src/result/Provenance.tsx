import { useLanguage, useStrings } from "../app/context";
import { milliseconds, shortDigest } from "../app/format";
import { Icon } from "../app/icons";
import { providerName } from "../app/StatusStrip";
import type { Answer } from "../reading/send";
import { copyText } from "./save";
import { Tip } from "./Tip";

/** Which model answered, where it ran, and how long it took. */
export function Provenance({ answer }: { readonly answer: Answer }) {
  const strings = useStrings();
  const { result } = strings;
  const language = useLanguage();
  const { timing_ms: timing, execution_provider: provider } = answer.body;
  const { model } = answer;
  const spent = result.timeHelp(
    milliseconds(timing.decode, language),
    milliseconds(timing.queue, language),
    milliseconds(timing.inference, language),
  );
  return (
    <dl class="provenance">
      <div>
        <dt>{result.model}</dt>
        <dd>{model.name}</dd>
      </div>
      <div>
        <dt>{result.version}</dt>
        <dd class="number">{model.version}</dd>
      </div>
      <div>
        <dt>{result.digest}</dt>
        <dd>
          <code title={model.digest} class="screen-only">
            {shortDigest(model.digest)}
          </code>
          <code class="print-only">{model.digest}</code>
          <button
            type="button"
            class="icon-button"
            aria-label={result.copyDigest}
            title={result.copyDigest}
            onClick={() => void copyText(model.digest)}
          >
            <Icon name="copy" />
          </button>
        </dd>
      </div>
      <div>
        <dt>{result.provider}</dt>
        <dd>{providerName(provider, strings)}</dd>
      </div>
      <div>
        <dt>{result.time}</dt>
        <dd class="number">
          {milliseconds(timing.total, language)} <Tip label={result.timeHelpLabel}>{spent}</Tip>
        </dd>
      </div>
      <div class="print-only">
        <dt>{result.sha256}</dt>
        <dd>
          <code>{answer.image.sha256}</code>
        </dd>
      </div>
    </dl>
  );
}
