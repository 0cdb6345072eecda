import { useSignalEffect } from "@preact/signals";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { usePage, useStrings } from "../app/context";
import type { PreviewError } from "../images/types";
import { answerOf, heatmapOf } from "../session/study";
import { AidMark } from "./AidControls";
import { toggleFullScreen } from "./fullScreen";
import { origin } from "./geometry";
import { colourise, isOutside } from "./heat";
import { onViewerKey } from "./keyboard";
import { type Layer, overlay, type Redraw } from "./layer";
import { outline } from "./lungs";
import type { ViewerModel } from "./model";
import { PointerControl } from "./pointer";
import { Ruler } from "./Ruler";
import { Stack } from "./stack";

/** A reader who holds a key down hears where it ended, not every step. */
const REST_MS = 700;

/** Where the radiograph is drawn, and where keys and gestures act on it. */
export function Stage() {
  const { session, viewer, dialog } = usePage();
  const strings = useStrings();
  const help = useId();
  const stage = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const answer = session.selected.value && answerOf(session.selected.value);
  const asked = session.selected.value && heatmapOf(session.selected.value, viewer.heatLabel.value);
  const heatmap = typeof asked === "object" ? asked : null;
  const isThisFrame = answer?.asked.frame === session.selected.value?.frame.value;
  const heat = useLayer((isThisFrame && heatmap?.picture) || null, colourise);
  const layers = {
    isOutside: heatmap ? isOutside(heatmap) : false,
    heat: heat?.canvas ?? null,
    lungs: useLayer((isThisFrame && answer?.lungs) || null, outline)?.canvas ?? null,
  };
  useEffect(() => {
    viewer.heatIsBlank.value = heat?.isBlank ?? false;
  }, [viewer, heat]);
  useSize(stage.current, canvas.current, viewer);
  useEffect(
    () =>
      stage.current
        ? new PointerControl(stage.current, viewer, new Stack(session, viewer)).attach()
        : undefined,
    [viewer, session],
  );
  useDrawing(canvas.current, viewer, layers);
  const shown = viewer.shown.value;
  const study = session.selected.value;
  const onKeyDown = (event: KeyboardEvent) => {
    const actions = {
      model: viewer,
      step: (by: -1 | 1) => session.step(by),
      full: toggleFullScreen,
      help: () => {
        dialog.value = "keys";
      },
    };
    if (onViewerKey(event, actions)) event.preventDefault();
  };
  return (
    <div class="stage-frame">
      {/* biome-ignore-start lint/a11y/noNoninteractiveTabindex: an application takes keys. */}
      <div
        ref={stage}
        class={`stage ${viewer.tool.value}`}
        role="application"
        aria-label={study ? strings.viewer.image(study.name) : strings.viewer.empty}
        aria-describedby={help}
        aria-busy={shown.kind === "opening"}
        tabIndex={0}
        onKeyDown={onKeyDown}
      >
        <canvas ref={canvas} class="picture" hidden={shown.kind !== "picture"} />
        <p id={help} class="unseen">
          {strings.viewer.help}
        </p>
        {shown.kind === "opening" && <p class="stage-note">{strings.viewer.decoding}</p>}
        {shown.kind === "impossible" && <NoPreview error={shown.error} />}
        {shown.kind === "picture" && <AidMark />}
        {shown.kind === "picture" && <Readout />}
        {shown.kind === "picture" && <Ruler />}
      </div>
      <Spoken />
      {/* biome-ignore-end lint/a11y/noNoninteractiveTabindex: an application takes keys. */}
    </div>
  );
}

function NoPreview({ error }: { readonly error: PreviewError }) {
  const { preview } = useStrings();
  return (
    <div class="stage-note">
      <p class="stage-note-title">{preview.title}</p>
      <p>{preview.reasons[error.reason](error.subject)}</p>
      {error.reason !== "not-kept" && <p>{preview.sent}</p>}
    </div>
  );
}

/** Zoom and window in the corner, as on every reading station. */
function Readout() {
  const { viewer } = usePage();
  const strings = useStrings();
  const { zoom, centre, width, unit } = readings(viewer);
  return (
    <p class="readout" aria-hidden="true">
      <span>
        {strings.viewer.zoom} {zoom} %
      </span>
      <span>
        C {centre} W {width}
        {unit ? ` ${unit}` : ""}
      </span>
    </p>
  );
}

function readings(viewer: ViewerModel) {
  const { centre, width } = viewer.window.value;
  return {
    zoom: Math.round(viewer.view.value.scale * 100),
    centre: Math.round(centre),
    width: Math.round(width),
    unit: viewer.image.value?.unit ?? null,
  };
}

/** The readout for a screen reader, once zoom and window have rested after a change. */
function Spoken() {
  const { viewer } = usePage();
  const strings = useStrings();
  const [said, say] = useState("");
  const isShown = viewer.image.value !== null;
  const { zoom, centre, width, unit } = readings(viewer);
  const text = strings.viewer.spoken(zoom, centre, width, unit ?? "");
  useEffect(() => {
    if (!isShown) {
      say("");
      return;
    }
    const timer = setTimeout(() => say(text), REST_MS);
    return () => clearTimeout(timer);
  }, [text, isShown]);
  return (
    <p class="unseen" role="status">
      {said}
    </p>
  );
}

/** A picture of the selected study's answer, ready to be drawn once it is there. */
function useLayer(picture: Blob | null, redraw: Redraw) {
  const [layer, setLayer] = useState<Layer | null>(null);
  useEffect(() => {
    let isCurrent = true;
    setLayer(null);
    if (picture) void overlay(picture, redraw).then((made) => isCurrent && setLayer(made));
    return () => {
      isCurrent = false;
    };
  }, [picture, redraw]);
  return layer;
}

function useSize(
  stage: HTMLElement | null,
  canvas: HTMLCanvasElement | null,
  viewer: ViewerModel,
): void {
  useEffect(() => {
    if (!stage || !canvas) return;
    const observer = new ResizeObserver(() => {
      const ratio = window.devicePixelRatio;
      const screen = {
        width: Math.round(stage.clientWidth * ratio),
        height: Math.round(stage.clientHeight * ratio),
      };
      viewer.resize(screen);
    });
    observer.observe(stage);
    return () => observer.disconnect();
  }, [stage, canvas, viewer]);
}

/** What lies over the radiograph, each null until it is there. */
interface Layers {
  readonly heat: HTMLCanvasElement | null;
  readonly lungs: HTMLCanvasElement | null;
  /** The heatmap looks elsewhere than at the lungs. */
  readonly isOutside: boolean;
}

/** Draw once per screen refresh, whatever has changed in between. */
function useDrawing(canvas: HTMLCanvasElement | null, viewer: ViewerModel, layers: Layers): void {
  const pending = useRef(0);
  const request = () => {
    cancelAnimationFrame(pending.current);
    pending.current = requestAnimationFrame(() => {
      if (canvas) draw(canvas, viewer, layers);
    });
  };
  useSignalEffect(() => {
    const { shown, view, window, invert, localContrast, gamma, screen } = viewer;
    const { heatOn, heatAnyway, opacity, lungsOn } = viewer;
    const grays = [shown, view, window, invert, localContrast, gamma, screen];
    const changed = [...grays, heatOn, heatAnyway, opacity, lungsOn];
    if (changed.every((signal) => signal.value !== undefined)) request();
  });
  useEffect(request, [canvas, layers.heat, layers.lungs]);
}

function draw(canvas: HTMLCanvasElement, viewer: ViewerModel, layers: Layers) {
  const { heat, lungs } = layers;
  const shown = viewer.shown.peek();
  const context = canvas.getContext("2d");
  if (!context || shown.kind !== "picture") return;
  const screen = viewer.screen.peek();
  if (canvas.width !== screen.width || canvas.height !== screen.height) {
    canvas.width = screen.width;
    canvas.height = screen.height;
  }
  const view = viewer.view.peek();
  context.globalAlpha = 1;
  context.fillStyle = "#000";
  context.fillRect(0, 0, screen.width, screen.height);
  const rendering = { window: viewer.window.peek(), invert: viewer.invert.peek() };
  const aids = { localContrast: viewer.localContrast.peek(), gamma: viewer.gamma.peek() };
  shown.picture.draw(context, screen, view, rendering, aids);
  const corner = origin(view, screen);
  const { width, height } = shown.picture.image;
  const lay = (layer: HTMLCanvasElement, opacity: number) => {
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = true;
    context.drawImage(layer, corner.x, corner.y, width * view.scale, height * view.scale);
  };
  if (heat && viewer.heatOn.peek() && (!layers.isOutside || viewer.heatAnyway.peek()))
    lay(heat, viewer.opacity.peek());
  if (lungs && viewer.lungsOn.peek()) lay(lungs, 1);
}
