import type { ImageAnswer } from "../api/types";
import { useStrings } from "../app/context";
import { Icon, type IconName } from "../app/icons";
import { reasonText } from "./reasons";

/** The answer in one word, and why. */
export function Decision({ image }: { readonly image: ImageAnswer }) {
  const strings = useStrings();
  const isReferred = image.decision === "refer";
  const name = strings.labels[image.decision] ?? image.decision;
  const [tone, icon] = appearance(image.decision);
  return (
    <div class={`decision ${tone}`}>
      <p class="decision-kicker">{strings.result.decision}</p>
      <p class="decision-word">
        <Icon name={icon} /> <span>{isReferred ? strings.result.refer : name}</span>
      </p>
      <p class="decision-lead">
        {isReferred ? strings.result.referLead : strings.result.decided(name)}
      </p>
      {image.reasons.length > 0 && (
        <>
          <h3>{strings.result.why}</h3>
          <ul class="reasons">
            {image.reasons.map((code: string) => (
              <li key={code}>{reasonText(code, strings)}</li>
            ))}
          </ul>
        </>
      )}
    </div>
  );
}

function appearance(decision: string): [string, IconName] {
  if (decision === "refer") return ["refer", "person"];
  return decision === "normal" ? ["normal", "check"] : ["found", "finding"];
}
