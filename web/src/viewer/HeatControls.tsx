import { useEffect, useRef } from "preact/hooks";
import { usePage, useStrings } from "../app/context";
import { Icon } from "../app/icons";
import { answerOf } from "../session/study";
import { heatAlpha, heatColour } from "./heat";
import { LungNote, LungSwitch } from "./LungControls";

const LEGEND_WIDTH = 128;

/** The switches of heatmap and lungs, strength and legend; nothing where the answer has no heatmap. */
export function HeatControls() {
  const { session, viewer } = usePage();
  const strings = useStrings();
  const study = session.selected.value;
  const answer = study && answerOf(study);
  const heatmap = answer?.heatmap;
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
      <LungSwitch answer={answer} />
      <figure class="legend">
        <Legend opacity={viewer.opacity.value} />
        <figcaption>
          <span>{strings.viewer.legendLow}</span>
          <span>{strings.viewer.heatmapOf(finding)}</span>
          <span>{strings.viewer.legendHigh}</span>
        </figcaption>
        <p class="quiet">{strings.viewer.heatmapNote}</p>
        <LungNote answer={answer} />
      </figure>
    </div>
  );
}

/** A gray as that of a lung's edge, over which the legend looks as the heatmap does. */
const UNDER = "#808080";

/** Drawn by the same functions that colour the heatmap, so that the two cannot differ. */
function Legend({ opacity }: { readonly opacity: number }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    context.fillStyle = UNDER;
    context.fillRect(0, 0, LEGEND_WIDTH, 1);
    for (let x = 0; x < LEGEND_WIDTH; x++) {
      const strength = x / (LEGEND_WIDTH - 1);
      const alpha = (heatAlpha(strength) / 255) * opacity;
      context.fillStyle = `rgb(${heatColour(strength).join(" ")} / ${alpha})`;
      context.fillRect(x, 0, 1, 1);
    }
  }, [opacity]);
  return <canvas ref={canvas} width={LEGEND_WIDTH} height={1} />;
}
