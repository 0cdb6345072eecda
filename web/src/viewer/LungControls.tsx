import { useLanguage, usePage, useStrings } from "../app/context";
import { percent } from "../app/format";
import { Icon } from "../app/icons";
import type { Answer } from "../reading/send";

/** The outline's switch; nothing where the answer has no lungs. */
export function LungSwitch({ answer }: { readonly answer: Answer }) {
  const { viewer } = usePage();
  const strings = useStrings();
  if (!answer.lungs) return null;
  return (
    <button
      type="button"
      class="button small"
      aria-pressed={viewer.lungsOn.value}
      onClick={() => {
        viewer.lungsOn.value = !viewer.lungsOn.value;
      }}
    >
      <Icon name="lungs" /> {strings.viewer.lungs}
    </button>
  );
}

/** What the outline is, and how much of the heatmap lies within it. */
export function LungNote({ answer }: { readonly answer: Answer }) {
  const strings = useStrings();
  const language = useLanguage();
  if (!answer.lungs) return null;
  const inside = answer.heatmap?.insideLungs ?? null;
  return (
    <p class="quiet">
      {strings.viewer.lungsNote}
      {inside !== null && ` ${strings.viewer.insideLungs(percent(inside, language))}`}
    </p>
  );
}
