import { useLanguage, usePage, useStrings } from "../app/context";
import { decimal } from "../app/format";
import { Icon } from "../app/icons";
import { MAX_GAMMA, MIN_GAMMA } from "./model";
import { WindowNumbers } from "./WindowControls";

/** What helps the eye: nothing of it reaches the service, and the page says so. */
export function AidControls() {
  const { viewer } = usePage();
  const { viewer: strings } = useStrings();
  const language = useLanguage();
  if (viewer.image.value === null) return null;
  const gamma = viewer.gamma.value;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be laid out as a row everywhere.
    <div class="aids" role="group" aria-label={strings.aids}>
      <div class="window-controls">
        <WindowNumbers />
      </div>
      <button
        type="button"
        class="button small"
        aria-pressed={viewer.localContrast.value}
        onClick={() => {
          viewer.localContrast.value = !viewer.localContrast.value;
        }}
      >
        <Icon name="contrast" /> {strings.localContrast}
      </button>
      <label class="opacity">
        <span>{strings.gamma}</span>
        <input
          type="range"
          min={MIN_GAMMA}
          max={MAX_GAMMA}
          step={0.1}
          value={gamma}
          onInput={(event) => {
            viewer.gamma.value = event.currentTarget.valueAsNumber;
          }}
        />
        <output>{decimal(gamma, language, 1)}</output>
      </label>
      <span class="quiet">{strings.aidsNote}</span>
    </div>
  );
}

/** Over the image while an aid is on, so that nobody takes the picture for the file. */
export function AidMark() {
  const { viewer } = usePage();
  const { viewer: strings } = useStrings();
  const language = useLanguage();
  const { localContrast, gamma } = viewer;
  const parts = [
    localContrast.value && strings.localContrast,
    gamma.value !== 1 && `${strings.gamma} ${decimal(gamma.value, language, 1)}`,
  ].filter((part) => part !== false);
  if (parts.length === 0) return null;
  return <p class="aided">{strings.aided(parts.join(", "))}</p>;
}
