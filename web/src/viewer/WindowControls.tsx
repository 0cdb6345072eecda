import { usePage, useStrings } from "../app/context";
import type { DisplayWindow } from "../images/types";
import type { Strings } from "../strings";

const OWN = "own";

/** The windows that the file or the field knows by name. */
export function WindowControls() {
  const { viewer } = usePage();
  const strings = useStrings();
  const image = viewer.image.value;
  if (!image) return null;
  const window = viewer.window.value;
  const chosen = image.presets.findIndex((preset) => same(preset, window));
  return (
    <div class="window-controls">
      <select
        aria-label={strings.viewer.preset}
        value={chosen < 0 ? OWN : String(chosen)}
        onChange={(event) => {
          const preset = image.presets[Number(event.currentTarget.value)];
          if (preset) viewer.usePreset(preset);
        }}
      >
        {chosen < 0 && <option value={OWN}>{strings.viewer.custom}</option>}
        {image.presets.map((preset, index) => (
          <option key={preset.name} value={String(index)}>
            {presetName(preset.name, strings)}
          </option>
        ))}
      </select>
    </div>
  );
}

/** The window in numbers. */
export function WindowNumbers() {
  const { viewer } = usePage();
  const strings = useStrings();
  const { centre, width } = viewer.window.value;
  return (
    <>
      <label>
        <span>{strings.viewer.centre}</span>
        <input
          type="number"
          value={rounded(centre)}
          onChange={(event) => viewer.setWindow({ centre: event.currentTarget.valueAsNumber })}
        />
      </label>
      <label>
        <span>{strings.viewer.width}</span>
        <input
          type="number"
          min={1}
          value={rounded(width)}
          onChange={(event) => viewer.setWindow({ width: event.currentTarget.valueAsNumber })}
        />
      </label>
    </>
  );
}

const same = (a: DisplayWindow, b: DisplayWindow) =>
  a.centre === b.centre && a.width === b.width && a.curve === b.curve;

const rounded = (value: number) => Math.round(value * 10) / 10;

function presetName(name: string, strings: Strings): string {
  if (name.startsWith("file-")) return strings.viewer.filePreset(name.slice(5));
  return strings.viewer.presets[name] ?? name;
}
