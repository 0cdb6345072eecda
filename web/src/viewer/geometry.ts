export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** `scale` is device pixels for each image pixel; `x`, `y` the image point at the screen's middle. */
export interface View extends Point {
  readonly scale: number;
}

const SMALLEST = 0.02;
const LARGEST = 32;
const MARGIN = 0.98;

/** The whole image, as large as the screen allows. */
export function fitted(image: Size, screen: Size): View {
  const scale = Math.min(screen.width / image.width, screen.height / image.height) * MARGIN;
  return { scale: clampScale(scale), x: image.width / 2, y: image.height / 2 };
}

/** Zoom so that the image point under `at` (screen pixels) stays where it is. */
export function zoomed(view: View, factor: number, screen: Size, at: Point): View {
  const scale = clampScale(view.scale * factor);
  const from = imagePoint(view, screen, at);
  return {
    scale,
    x: from.x - (at.x - screen.width / 2) / scale,
    y: from.y - (at.y - screen.height / 2) / scale,
  };
}

/** Move the image by screen pixels; its middle never leaves the screen's reach. */
export function panned(view: View, by: Point, image: Size): View {
  return {
    scale: view.scale,
    x: clamp(view.x - by.x / view.scale, 0, image.width),
    y: clamp(view.y - by.y / view.scale, 0, image.height),
  };
}

export const imagePoint = (view: View, screen: Size, at: Point): Point => ({
  x: view.x + (at.x - screen.width / 2) / view.scale,
  y: view.y + (at.y - screen.height / 2) / view.scale,
});

/** The image's top left corner on the screen. */
export const origin = (view: View, screen: Size): Point => ({
  x: screen.width / 2 - view.x * view.scale,
  y: screen.height / 2 - view.y * view.scale,
});

const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));
const clampScale = (scale: number) => clamp(scale, SMALLEST, LARGEST);
