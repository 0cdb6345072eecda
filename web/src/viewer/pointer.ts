import type { DisplayWindow } from "../images/types";
import type { Point } from "./geometry";
import type { ViewerModel } from "./model";

interface Drag {
  readonly kind: "window" | "move";
  readonly start: Point;
  readonly window: DisplayWindow;
  last: Point;
  moved: boolean;
}

const CLICK_REACH = 4;
const WHEEL_SPEED = 0.0015;
const MIDDLE_BUTTON = 1;

/** Turns mouse, pen and touch into what the viewer does. */
export class PointerControl {
  readonly #model: ViewerModel;
  readonly #element: HTMLElement;
  readonly #pointers = new Map<number, Point>();
  #drag: Drag | null = null;

  constructor(element: HTMLElement, model: ViewerModel) {
    this.#element = element;
    this.#model = model;
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
    // Two fingers pinch; what the first began is over.
    this.#drag =
      this.#pointers.size > 1
        ? null
        : { kind, start: at, last: at, window: this.#model.window.peek(), moved: false };
  }

  #move(event: PointerEvent): void {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const at = pointOf(event);
    if (this.#pointers.size === 2) this.#pinch(event.pointerId, before, at);
    else if (this.#drag) this.#dragTo(this.#drag, at);
    this.#pointers.set(event.pointerId, at);
  }

  #dragTo(drag: Drag, at: Point): void {
    drag.moved ||= distance(drag.start, at) > CLICK_REACH;
    if (!drag.moved) return;
    if (drag.kind === "window") {
      this.#model.dragWindow(drag.window, { x: at.x - drag.start.x, y: at.y - drag.start.y });
    } else {
      this.#model.pan(scaled({ x: at.x - drag.last.x, y: at.y - drag.last.y }));
    }
    drag.last = at;
  }

  #pinch(id: number, before: Point, at: Point): void {
    const other = [...this.#pointers].find(([pointer]) => pointer !== id)?.[1];
    if (!other) return;
    const middle = { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 };
    const factor = distance(at, other) / Math.max(1, distance(before, other));
    this.#model.zoom(factor, this.#devicePoint(middle));
    this.#model.pan(scaled({ x: (at.x - before.x) / 2, y: (at.y - before.y) / 2 }));
  }

  #up(event: PointerEvent): void {
    this.#pointers.delete(event.pointerId);
    const drag = this.#drag;
    this.#drag = null;
    if (event.type !== "pointerup" || !drag || drag.moved || drag.kind !== "move") return;
    // A click is the way to move the image without dragging.
    this.#model.centreOn(this.#devicePoint(drag.start));
  }

  #wheel(event: WheelEvent): void {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const factor = Math.exp(-event.deltaY * lines * WHEEL_SPEED);
    this.#model.zoom(factor, this.#devicePoint(pointOf(event)));
  }

  #devicePoint(at: Point): Point {
    const box = this.#element.getBoundingClientRect();
    return scaled({ x: at.x - box.left, y: at.y - box.top });
  }
}

const pointOf = (event: MouseEvent): Point => ({ x: event.clientX, y: event.clientY });
const distance = (a: Point, b: Point): number => Math.hypot(a.x - b.x, a.y - b.y);
const scaled = ({ x, y }: Point): Point => ({
  x: x * window.devicePixelRatio,
  y: y * window.devicePixelRatio,
});
