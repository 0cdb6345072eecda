import { useEffect, useRef } from "preact/hooks";
import { usePage, useStrings } from "../app/context";
import { Icon } from "../app/icons";
import { answerOf } from "../session/study";
import { heatColour } from "./heat";

const LEGEND_WIDTH = 128;

/** The heatmap's switch, strength and legend; nothing where the answer has no heatmap. */
export function HeatControls() {
  const { session, viewer } = usePage();
  const strings = useStrings();
  const study = session.selected.value;
  const heatmap = study && answerOf(study)?.heatmap;
  if (!heatmap || viewer.image.value === null) return null;
  const finding = strings.labels[heatmap.label] ?? heatmap.label;
  return (
    <div class="heat">
      <button
        type="button"
        class="button small"
        aria-pressed={viewer.heatOn.value}
        onClick={() => {
          viewer.heatOn.value = !viewer.heatOn.value;
        }}
      >
        <Icon name="heat" /> {strings.viewer.heatmap}
      </button>
      <label class="opacity">
        <span>{strings.viewer.opacity}</span>
        <input
          type="range"
          min={0}
          max={1}
          step={0.05}
          value={viewer.opacity.value}
          onInput={(event) => {
            viewer.opacity.value = event.currentTarget.valueAsNumber;
            viewer.heatOn.value = true;
          }}
        />
      </label>
      <figure class="legend">
        <Legend />
        <figcaption>
          <span>{strings.viewer.legendLow}</span>
          <span>{strings.viewer.heatmapOf(finding)}</span>
          <span>{strings.viewer.legendHigh}</span>
        </figcaption>
        <p class="quiet">{strings.viewer.heatmapNote}</p>
      </figure>
    </div>
  );
}

/** Drawn by the same function that colours the heatmap, so that the two cannot differ. */
function Legend() {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    for (let x = 0; x < LEGEND_WIDTH; x++) {
      context.fillStyle = `rgb(${heatColour(x / (LEGEND_WIDTH - 1)).join(" ")})`;
      context.fillRect(x, 0, 1, 1);
    }
  }, []);
  return <canvas ref={canvas} width={LEGEND_WIDTH} height={1} />;
}
