import type { ViewerModel } from "./model";

export interface KeyActions {
  readonly model: ViewerModel;
  readonly step: (by: -1 | 1) => void;
  readonly full: () => void;
  readonly help: () => void;
}

const PAN = 60;
/** Of the ruler's end, as a share of the image's. */
const RULER_STEP = 0.1;
const ZOOM = 1.25;
const OPACITY = 0.1;

/** The arrow keys move the image; with the ruler they move its end, the other way round. */
const pan =
  (x: number, y: number) =>
  ({ model }: KeyActions) => {
    if (model.tool.peek() !== "ruler") model.pan({ x, y });
    else model.stretchRuler({ x: -x * RULER_STEP, y: -y * RULER_STEP });
  };
const nudge =
  (x: number, y: number) =>
  ({ model }: KeyActions) =>
    model.nudgeWindow({ x, y });

const ACTIONS: Readonly<Record<string, (actions: KeyActions) => void>> = {
  ArrowLeft: pan(PAN, 0),
  ArrowRight: pan(-PAN, 0),
  ArrowUp: pan(0, PAN),
  ArrowDown: pan(0, -PAN),
  "Shift+ArrowLeft": nudge(-1, 0),
  "Shift+ArrowRight": nudge(1, 0),
  "Shift+ArrowUp": nudge(0, -1),
  "Shift+ArrowDown": nudge(0, 1),
  "+": ({ model }) => model.zoom(ZOOM),
  "=": ({ model }) => model.zoom(ZOOM),
  "-": ({ model }) => model.zoom(1 / ZOOM),
  "0": ({ model }) => model.fit(),
  "1": ({ model }) => model.actual(),
  i: ({ model }) => toggle(model.invert),
  c: ({ model }) => toggle(model.localContrast),
  h: ({ model }) => toggle(model.heatOn),
  l: ({ model }) => toggle(model.lungsOn),
  "[": ({ model }) => model.changeOpacity(-OPACITY),
  "]": ({ model }) => model.changeOpacity(OPACITY),
  w: ({ model }) => {
    model.tool.value = "window";
  },
  m: ({ model }) => {
    model.tool.value = "move";
  },
  d: ({ model }) => {
    model.tool.value = "ruler";
  },
  r: ({ model }) => model.reset(),
  PageUp: ({ step }) => step(-1),
  PageDown: ({ step }) => step(1),
  f: ({ full }) => full(),
  "?": ({ help }) => help(),
};

function toggle(flag: { value: boolean }): void {
  flag.value = !flag.value;
}

/** Act on a key that was pressed while the radiograph has the focus. True where it meant something. */
export function onViewerKey(event: KeyboardEvent, actions: KeyActions): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const isArrow = event.key.startsWith("Arrow");
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const action = ACTIONS[event.shiftKey && isArrow ? `Shift+${name}` : name];
  action?.(actions);
  return action !== undefined;
}
