import type { DisplayWindow } from "../images/types";
import type { Point } from "./geometry";
import type { Tool, ViewerModel } from "./model";
import type { Stack } from "./stack";

interface Drag {
  readonly kind: Tool;
  readonly start: Point;
  readonly window: DisplayWindow;
  last: Point;
  moved: boolean;
}

interface Spread {
  readonly middle: Point;
  readonly apart: number;
}

interface TwoFingers extends Spread {
  readonly window: DisplayWindow;
  kind: "zoom" | "window" | null;
  last: Spread;
}

const CLICK_REACH = 4;
/** As a logarithm: fingers that part by an eighth pinch. */
const PINCH = 0.12;
/** CSS pixels that two fingers go together before they change the window. */
const TOGETHER = 12;
const NOTCH = 40;
const WHEEL_SPEED = 0.0015;
const MIDDLE_BUTTON = 1;

/** Turns mouse, pen and touch into what the viewer does. */
export class PointerControl {
  readonly #model: ViewerModel;
  readonly #element: HTMLElement;
  readonly #pointers = new Map<number, Point>();
  readonly #stack: Stack;
  #drag: Drag | null = null;
  #two: TwoFingers | null = null;
  #turned = 0;
  #frame = 0;

  constructor(element: HTMLElement, model: ViewerModel, stack: Stack) {
    this.#element = element;
    this.#model = model;
    this.#stack = stack;
  }

  attach(): () => void {
    const leave = new AbortController();
    const { signal } = leave;
    const element = this.#element;
    element.addEventListener("pointerdown", (event) => this.#down(event), { signal });
    element.addEventListener("pointermove", (event) => this.#move(event), { signal });
    element.addEventListener("pointerup", (event) => this.#up(event), { signal });
    element.addEventListener("pointercancel", (event) => this.#up(event), { signal });
    element.addEventListener("wheel", (event) => this.#wheel(event), { signal, passive: false });
    element.addEventListener(
      "dblclick",
      (event) => this.#model.toggleFit(this.#devicePoint(pointOf(event))),
      { signal },
    );
    // One finger scrolls the page; the browser must leave two to the viewer.
    const hold = (event: TouchEvent) => {
      if (event.touches.length > 1 && event.cancelable) event.preventDefault();
    };
    element.addEventListener("touchstart", hold, { signal, passive: false });
    element.addEventListener("touchmove", hold, { signal, passive: false });
    return () => leave.abort();
  }

  #down(event: PointerEvent): void {
    if (event.button > MIDDLE_BUTTON) return;
    if (event.button === MIDDLE_BUTTON) event.preventDefault();
    this.#element.setPointerCapture(event.pointerId);
    const at = pointOf(event);
    this.#pointers.set(event.pointerId, at);
    const moves = event.button === MIDDLE_BUTTON || event.ctrlKey;
    const kind = moves ? "move" : this.#model.tool.peek();
    this.#two = this.#pointers.size === 2 ? this.#began() : null;
    // What the first of two fingers began is over, and one alone scrolls the page.
    const isFinger = event.pointerType === "touch" && kind !== "ruler";
    const scrolls = isFinger && document.fullscreenElement === null;
    this.#drag =
      this.#pointers.size > 1 || scrolls
        ? null
        : { kind, start: at, last: at, window: this.#model.window.peek(), moved: false };
  }

  #move(event: PointerEvent): void {
    if (!this.#pointers.has(event.pointerId)) return;
    const at = pointOf(event);
    this.#pointers.set(event.pointerId, at);
    if (this.#pointers.size === 2 && this.#two) this.#whenBothMoved(this.#two);
    else if (this.#drag) this.#dragTo(this.#drag, at);
  }

  #dragTo(drag: Drag, at: Point): void {
    drag.moved ||= distance(drag.start, at) > CLICK_REACH;
    if (!drag.moved) return;
    if (drag.kind === "window") {
      this.#model.dragWindow(drag.window, { x: at.x - drag.start.x, y: at.y - drag.start.y });
    } else if (drag.kind === "ruler") {
      this.#model.measure(this.#devicePoint(drag.start), this.#devicePoint(at));
    } else {
      this.#model.pan(scaled({ x: at.x - drag.last.x, y: at.y - drag.last.y }));
    }
    drag.last = at;
  }

  #began(): TwoFingers | null {
    const [a, b] = [...this.#pointers.values()];
    if (!a || !b) return null;
    const start = { middle: between(a, b), apart: distance(a, b) };
    return { ...start, window: this.#model.window.peek(), last: start, kind: null };
  }

  /** Each finger has an event of its own; between the two they seem to part or to meet. */
  #whenBothMoved(two: TwoFingers): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#twoFingers(two));
  }

  /** Two fingers that part or meet zoom and move; two that go together change the window. */
  #twoFingers(two: TwoFingers): void {
    const [a, b] = [...this.#pointers.values()];
    if (!a || !b) return;
    const now = { middle: between(a, b), apart: distance(a, b) };
    const parted = Math.abs(Math.log(now.apart / Math.max(1, two.apart)));
    if (two.kind === null && parted > PINCH) two.kind = "zoom";
    else if (two.kind === null && distance(now.middle, two.middle) > TOGETHER) two.kind = "window";
    const moved = (from: Point) => ({ x: now.middle.x - from.x, y: now.middle.y - from.y });
    if (two.kind === "zoom") {
      const factor = now.apart / Math.max(1, two.last.apart);
      this.#model.zoom(factor, this.#devicePoint(now.middle));
      this.#model.pan(scaled(moved(two.last.middle)));
    } else if (two.kind === "window") {
      this.#model.dragWindow(two.window, moved(two.middle));
    }
    two.last = now;
  }

  #up(event: PointerEvent): void {
    this.#pointers.delete(event.pointerId);
    this.#two = null;
    const drag = this.#drag;
    this.#drag = null;
    if (event.type !== "pointerup" || !drag || drag.moved) return;
    // A click is the way to move the image, and to measure, without dragging.
    if (drag.kind === "move") this.#model.centreOn(this.#devicePoint(drag.start));
    if (drag.kind === "ruler") this.#model.placeRuler(this.#devicePoint(drag.start));
  }

  #wheel(event: WheelEvent): void {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    if (this.#stack.count > 1 && !event.ctrlKey) {
      this.#scroll(event.deltaY * lines);
      return;
    }
    const factor = Math.exp(-event.deltaY * lines * WHEEL_SPEED);
    this.#model.zoom(factor, this.#devicePoint(pointOf(event)));
  }

  /** A notch of a wheel is a frame or slice; a trackpad's small steps add up to one. */
  #scroll(by: number): void {
    this.#turned += by;
    if (Math.abs(this.#turned) < NOTCH) return;
    this.#stack.turnTo(this.#stack.at + Math.sign(this.#turned));
    this.#turned = 0;
  }

  #devicePoint(at: Point): Point {
    const box = this.#element.getBoundingClientRect();
    return scaled({ x: at.x - box.left, y: at.y - box.top });
  }
}

const pointOf = (event: MouseEvent): Point => ({ x: event.clientX, y: event.clientY });
const between = (a: Point, b: Point): Point => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });

const distance = (a: Point, b: Point): number => Math.hypot(a.x - b.x, a.y - b.y);
const scaled = ({ x, y }: Point): Point => ({
  x: x * window.devicePixelRatio,
  y: y * window.devicePixelRatio,
});
