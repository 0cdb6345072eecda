import { useEffect, useRef } from "preact/hooks";
import { useLanguage, usePage, useStrings } from "../app/context";
import { percent } from "../app/format";
import { Icon } from "../app/icons";
import { findingName } from "../result/words";
import { answerOf, heatmapOf, type Study } from "../session/study";
import { heatAlpha, heatColour, isOutside } from "./heat";

const LEGEND_WIDTH = 128;

/** Strength, legend and what to make of it, while the heatmap is asked for. */
export function HeatControls({ study }: { readonly study: Study }) {
  const { viewer } = usePage();
  const strings = useStrings();
  const language = useLanguage();
  const heatmap = heatmapOf(study, viewer.heatLabel.value);
  const answer = answerOf(study);
  const hasNote = answer?.lungs && viewer.lungsOn.value;
  if (viewer.image.value === null || !(heatmap && viewer.heatOn.value)) {
    return hasNote ? <p class="heat quiet">{strings.viewer.lungsNote}</p> : null;
  }
  const label = typeof heatmap === "object" ? heatmap.label : viewer.heatLabel.value;
  const finding = findingName(label ?? "", answer?.image.findings ?? [], strings);
  if (typeof heatmap === "string" || viewer.heatIsBlank.value) {
    const state = typeof heatmap === "string" ? heatmap : "blank";
    return (
      <p class="heat" role="status">
        {strings.viewer.heatStates[state](finding)}
      </p>
    );
  }
  const inside = heatmap.insideLungs;
  if (inside !== null && isOutside(heatmap) && !viewer.heatAnyway.value) {
    return (
      <div class="heat doubtful" role="alert">
        <p>
          <Icon name="alert" /> {strings.viewer.heatOutside(percent(inside, language))}
        </p>
        <button
          type="button"
          class="button small"
          onClick={() => {
            viewer.heatAnyway.value = true;
          }}
        >
          {strings.viewer.heatAnyway}
        </button>
      </div>
    );
  }
  return (
    <div class="heat">
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
          }}
        />
      </label>
      <figure class="legend">
        <Legend opacity={viewer.opacity.value} />
        <figcaption>
          <span>{strings.viewer.legendLow}</span>
          <span>{strings.viewer.heatmapOf(finding)}</span>
          <span>{strings.viewer.legendHigh}</span>
        </figcaption>
      </figure>
      <p class="quiet heat-note">
        {strings.viewer.heatmapNote}
        {hasNote && ` ${strings.viewer.lungsNote}`}
        {inside !== null && ` ${strings.viewer.insideLungs(percent(inside, language))}`}
      </p>
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
