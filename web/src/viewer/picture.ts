import { type Aids, assist, type Curves, gammaTable, localCurves } from "../images/aids";
import type { DecodedImage, Samples } from "../images/types";
import { halved, paint, type Region, type Rendering } from "../images/window";
import { origin, type Size, type View } from "./geometry";

interface Level {
  readonly width: number;
  readonly height: number;
  readonly pixels: Samples;
}

const SMALLEST_EDGE = 256;
/** How far beyond the screen to paint, as a share of it, so that a pan seldom has to. */
const SPARE = 0.2;

interface Painted {
  readonly canvas: HTMLCanvasElement;
  readonly key: string;
  readonly region: Region;
}

/**
 * Draws a decoded image through a window.
 *
 * It keeps half-size copies at full depth and paints only what is seen of the one that the screen
 * needs: a window drag over a 9-megapixel radiograph touches no more pixels than are shown, and a
 * small view is an average, not a sample.
 */
export class Picture {
  readonly image: DecodedImage;
  readonly #levels: Level[];
  #painted: Painted | null = null;
  #curves: { readonly key: string; readonly curves: Curves } | null = null;

  constructor(image: DecodedImage) {
    this.image = image;
    this.#levels = [image];
  }

  draw(
    target: CanvasRenderingContext2D,
    screen: Size,
    view: View,
    rendering: Rendering,
    aids: Aids,
  ): void {
    const depth = this.#depthFor(view.scale);
    const level = this.#level(depth);
    const seen = visible(level, screen, view, this.image);
    if (!seen) return;
    const { canvas, region } = this.#paintedFor(level, depth, seen, rendering, aids);
    const corner = origin(view, screen);
    const scaleX = (this.image.width / level.width) * view.scale;
    const scaleY = (this.image.height / level.height) * view.scale;
    target.imageSmoothingEnabled = view.scale < 2;
    target.imageSmoothingQuality = "high";
    target.drawImage(
      canvas,
      corner.x + region.x * scaleX,
      corner.y + region.y * scaleY,
      region.width * scaleX,
      region.height * scaleY,
    );
  }

  #paintedFor(
    level: Level,
    depth: number,
    seen: Region,
    rendering: Rendering,
    aids: Aids,
  ): Painted {
    const grays = keyOf(rendering);
    const key = `${depth} ${grays} ${aids.localContrast} ${aids.gamma}`;
    const known = this.#painted;
    if (known?.key === key && contains(known.region, seen)) return known;
    const region = widened(seen, level);
    const canvas = known?.canvas ?? document.createElement("canvas");
    canvas.width = region.width;
    canvas.height = region.height;
    const data = new ImageData(region.width, region.height);
    paint(data.data, level.pixels, level.width, region, this.image, rendering);
    if (aids.localContrast || aids.gamma !== 1) {
      const curves = aids.localContrast ? this.#curvesFor(rendering, grays) : null;
      assist(data.data, region, level, curves, gammaTable(aids.gamma));
    }
    canvas.getContext("2d")?.putImageData(data, 0, 0);
    this.#painted = { canvas, key, region };
    return this.#painted;
  }

  /** Local contrast is that of the whole image, so that zoom and pan change nothing of it. */
  #curvesFor(rendering: Rendering, key: string): Curves {
    if (this.#curves?.key === key) return this.#curves.curves;
    const { width, height, pixels } = this.#level(this.#depthFor(0));
    const rgba = new Uint8ClampedArray(width * height * 4);
    paint(rgba, pixels, width, { x: 0, y: 0, width, height }, this.image, rendering);
    const curves = localCurves(rgba, width, height);
    this.#curves = { key, curves };
    return curves;
  }

  /** How often to halve: the smallest copy that still has a pixel for each one on screen. */
  #depthFor(scale: number): number {
    const wanted = Math.max(0, Math.floor(-Math.log2(scale)));
    const edge = Math.min(this.image.width, this.image.height);
    const possible = Math.max(0, Math.floor(Math.log2(edge / SMALLEST_EDGE)));
    return Math.min(wanted, possible);
  }

  #level(depth: number): Level {
    const known = this.#levels[depth];
    if (known) return known;
    const { width, height, pixels } = this.#level(depth - 1);
    const level = {
      width: Math.max(1, width >> 1),
      height: Math.max(1, height >> 1),
      pixels: halved(pixels, width, height, this.image.samples, this.image.padding),
    };
    this.#levels[depth] = level;
    return level;
  }
}

function keyOf({ window, invert }: Rendering): string {
  const { centre, width, curve } = window;
  const shape = typeof curve === "object" ? "table" : curve;
  return `${centre} ${width} ${shape} ${invert}`;
}

/** The part of a level that is on the screen; null where none is. */
function visible(level: Level, screen: Size, view: View, image: Size): Region | null {
  const corner = origin(view, screen);
  const scaleX = (image.width / level.width) * view.scale;
  const scaleY = (image.height / level.height) * view.scale;
  const left = Math.max(0, Math.floor(-corner.x / scaleX));
  const top = Math.max(0, Math.floor(-corner.y / scaleY));
  const right = Math.min(level.width, Math.ceil((screen.width - corner.x) / scaleX));
  const bottom = Math.min(level.height, Math.ceil((screen.height - corner.y) / scaleY));
  if (right <= left || bottom <= top) return null;
  return { x: left, y: top, width: right - left, height: bottom - top };
}

function widened(region: Region, level: Level): Region {
  const spareX = Math.ceil(region.width * SPARE);
  const spareY = Math.ceil(region.height * SPARE);
  const x = Math.max(0, region.x - spareX);
  const y = Math.max(0, region.y - spareY);
  return {
    x,
    y,
    width: Math.min(level.width, region.x + region.width + spareX) - x,
    height: Math.min(level.height, region.y + region.height + spareY) - y,
  };
}

const contains = (outer: Region, inner: Region): boolean =>
  inner.x >= outer.x &&
  inner.y >= outer.y &&
  inner.x + inner.width <= outer.x + outer.width &&
  inner.y + inner.height <= outer.y + outer.height;
