import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { NO_AIDS } from "../images/aids";
import type { DecodedImage, DisplayWindow, PreviewError, WindowPreset } from "../images/types";
import { fitted, imagePoint, type Point, panned, type Size, type View, zoomed } from "./geometry";
import { Picture } from "./picture";

export type Tool = "window" | "move" | "ruler";

/** A line over the image, in its pixels. */
export interface Line {
  readonly from: Point;
  readonly to: Point;
}

export type Shown =
  | { readonly kind: "nothing" }
  | { readonly kind: "opening" }
  | { readonly kind: "picture"; readonly picture: Picture }
  | { readonly kind: "impossible"; readonly error: PreviewError };

const NO_WINDOW: DisplayWindow = { centre: 128, width: 256 };
/** A drag of this many CSS pixels doubles the window's width. */
const DRAG_SPAN = 300;
const NUDGE = 0.05;
export const MIN_GAMMA = 0.5;
export const MAX_GAMMA = 2;

/**
 * What the viewer shows and how. The tool stays from image to image; what changes the grays or lies
 * over them does not.
 */
export class ViewerModel {
  readonly shown: Signal<Shown> = signal<Shown>({ kind: "nothing" });
  readonly view: Signal<View> = signal({ scale: 1, x: 0, y: 0 });
  readonly window: Signal<DisplayWindow> = signal(NO_WINDOW);
  readonly invert: Signal<boolean> = signal(false);
  readonly tool: Signal<Tool> = signal<Tool>("window");
  /** Off until the reader asks, with each answer anew. */
  readonly heatOn: Signal<boolean> = signal(false);
  /** The finding whose heatmap is shown; null is the one that came with the answer. */
  readonly heatLabel: Signal<string | null> = signal<string | null>(null);
  /** The heatmap is there, and nothing is on it. */
  readonly heatIsBlank: Signal<boolean> = signal(false);
  /** A heatmap that looks elsewhere than at the lungs is asked for twice. */
  readonly heatAnyway: Signal<boolean> = signal(false);
  /** The panels beside the image, where there is room for them. */
  readonly trayHidden: Signal<boolean> = signal(false);
  readonly resultHidden: Signal<boolean> = signal(false);
  readonly aidsOpen: Signal<boolean> = signal(false);
  readonly ruler: Signal<Line | null> = signal<Line | null>(null);
  readonly lungsOn: Signal<boolean> = signal(true);
  readonly localContrast: Signal<boolean> = signal(NO_AIDS.localContrast);
  readonly gamma: Signal<number> = signal(NO_AIDS.gamma);
  readonly opacity: Signal<number>;
  readonly screen: Signal<Size> = signal({ width: 1, height: 1 });
  readonly image: ReadonlySignal<DecodedImage | null> = computed(() =>
    this.shown.value.kind === "picture" ? this.shown.value.picture.image : null,
  );
  /** Of the open file, also where the chosen frame of it cannot be drawn. */
  readonly frames: Signal<number> = signal(1);
  #isFitted = true;

  constructor(opacity: Signal<number>) {
    this.opacity = opacity;
  }

  /** Show an image; another frame of the same file keeps window and view. */
  show(image: DecodedImage, keep: boolean): void {
    batch(() => {
      this.shown.value = { kind: "picture", picture: new Picture(image) };
      if (keep) this.ruler.value = null;
      else this.reset();
    });
  }

  /** What lies over an image begins anew with its answer; over a referred one nothing does. */
  meetAnswer(isReferred: boolean): void {
    batch(() => {
      this.heatOn.value = false;
      this.heatLabel.value = null;
      this.heatAnyway.value = false;
      this.lungsOn.value = !isReferred;
    });
  }

  /** Show the heatmap of a finding, or none where it is shown already. */
  toggleHeat(label: string, own: string | undefined): void {
    const isShown = this.heatOn.peek() && (this.heatLabel.peek() ?? own) === label;
    batch(() => {
      this.heatOn.value = !isShown;
      this.heatLabel.value = label;
      this.heatAnyway.value = false;
    });
  }

  reset(): void {
    const image = this.image.peek();
    if (!image) return;
    batch(() => {
      this.usePreset(image.presets[0]);
      this.invert.value = false;
      this.localContrast.value = NO_AIDS.localContrast;
      this.gamma.value = NO_AIDS.gamma;
      this.ruler.value = null;
      this.fit();
    });
  }

  resize(screen: Size): void {
    if (screen.width < 1 || screen.height < 1) return;
    this.screen.value = screen;
    if (this.#isFitted) this.fit();
  }

  fit(): void {
    const image = this.image.peek();
    if (!image) return;
    this.view.value = fitted(image, this.screen.peek());
    this.#isFitted = true;
  }

  /** One image pixel for each pixel of the screen. */
  actual(at: Point = this.#middle()): void {
    this.zoom(1 / this.view.peek().scale, at);
  }

  toggleFit(at: Point): void {
    if (this.#isFitted) this.actual(at);
    else this.fit();
  }

  zoom(factor: number, at: Point = this.#middle()): void {
    if (!this.image.peek()) return;
    this.view.value = zoomed(this.view.peek(), factor, this.screen.peek(), at);
    this.#isFitted = false;
  }

  pan(by: Point): void {
    const image = this.image.peek();
    if (!image) return;
    this.view.value = panned(this.view.peek(), by, image);
    this.#isFitted = false;
  }

  centreOn(at: Point): void {
    if (!this.image.peek()) return;
    const view = this.view.peek();
    this.view.value = { ...view, ...imagePoint(view, this.screen.peek(), at) };
    this.#isFitted = false;
  }

  /** Measure between two points of the screen. */
  measure(from: Point, to: Point): void {
    if (!this.image.peek()) return;
    const [view, screen] = [this.view.peek(), this.screen.peek()];
    this.ruler.value = { from: imagePoint(view, screen, from), to: imagePoint(view, screen, to) };
  }

  /** Begin the ruler at a point of the screen, or end there the one that has only begun. */
  placeRuler(at: Point): void {
    const begun = this.ruler.peek();
    this.measure(at, at);
    const placed = this.ruler.peek();
    if (begun && placed && same(begun.from, begun.to)) {
      this.ruler.value = { from: begun.from, to: placed.to };
    }
  }

  /** Move the ruler's end by pixels of the screen; without one, begin it in the middle. */
  stretchRuler(by: Point): void {
    const { scale, x, y } = this.view.peek();
    const { from, to } = this.ruler.peek() ?? { from: { x, y }, to: { x, y } };
    if (this.image.peek()) {
      this.ruler.value = { from, to: { x: to.x + by.x / scale, y: to.y + by.y / scale } };
    }
  }

  usePreset({ name: _, ...window }: WindowPreset): void {
    this.window.value = window;
  }

  setWindow(window: Partial<DisplayWindow>): void {
    const next = { ...this.window.peek(), ...window };
    if (!Number.isFinite(next.centre) || !Number.isFinite(next.width)) return;
    const least = this.image.peek()?.pixels instanceof Float32Array ? 1e-6 : 1;
    this.window.value = { ...next, width: Math.max(least, next.width) };
  }

  /** Change the window from where a drag began: right is wider, up is brighter. */
  dragWindow(start: DisplayWindow, by: Point): void {
    const gain = Math.max(start.width, this.#rangeWidth() / 50) / DRAG_SPAN;
    this.setWindow({
      centre: start.centre + this.#darker(by.y) * gain,
      width: start.width + by.x * gain,
    });
  }

  nudgeWindow(steps: Point): void {
    const { centre, width } = this.window.peek();
    const step = Math.max(width * NUDGE, this.#rangeWidth() / 2000);
    this.setWindow({
      centre: centre + this.#darker(steps.y) * step,
      width: width + steps.x * step,
    });
  }

  /** A higher centre is darker, but where small values are the bright ones it is brighter. */
  #darker(down: number): number {
    const isFlipped = (this.image.peek()?.inverted ?? false) !== this.invert.peek();
    return isFlipped ? -down : down;
  }

  changeOpacity(by: number): void {
    const next = Math.round((this.opacity.peek() + by) * 100) / 100;
    this.opacity.value = Math.min(1, Math.max(0, next));
    this.heatOn.value = true;
  }

  #rangeWidth(): number {
    const range = this.image.peek()?.range ?? [0, 255];
    return Math.max(Number.EPSILON, range[1] - range[0]);
  }

  #middle(): Point {
    const { width, height } = this.screen.peek();
    return { x: width / 2, y: height / 2 };
  }
}

const same = (a: Point, b: Point): boolean => a.x === b.x && a.y === b.y;
