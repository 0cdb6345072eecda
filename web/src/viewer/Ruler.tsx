import { useLanguage, usePage, useStrings } from "../app/context";
import { decimal } from "../app/format";
import type { DicomFacts } from "../images/types";
import { origin, type Point } from "./geometry";
import type { Line } from "./model";

/** The line that was measured, with its length. */
export function Ruler() {
  const { session, viewer } = usePage();
  const { viewer: strings } = useStrings();
  const language = useLanguage();
  const line = viewer.ruler.value;
  if (line === null) return null;
  const view = viewer.view.value;
  const corner = origin(view, viewer.screen.value);
  const ratio = window.devicePixelRatio;
  const onScreen = ({ x, y }: Point) => ({
    x: (corner.x + x * view.scale) / ratio,
    y: (corner.y + y * view.scale) / ratio,
  });
  const [from, to] = [onScreen(line.from), onScreen(line.to)];
  const { length, unit } = lengthOf(line, session.selected.value?.facts.value ?? null);
  const words = `${decimal(length, language, unit === "px" ? 0 : 1)} ${strings.rulerUnits[unit]}`;
  return (
    <>
      <svg class="ruler" aria-hidden="true" focusable="false">
        <line class="ruler-edge" x1={from.x} y1={from.y} x2={to.x} y2={to.y} />
        <line x1={from.x} y1={from.y} x2={to.x} y2={to.y} />
        <circle cx={from.x} cy={from.y} r={4} />
        <circle cx={to.x} cy={to.y} r={4} />
        <text x={to.x + 10} y={to.y - 8}>
          {words}
        </text>
      </svg>
      <p class="unseen" role="status">
        {words}
      </p>
    </>
  );
}

interface Length {
  readonly length: number;
  readonly unit: "mm" | "detector" | "px";
}

/** In millimetres where the file says how far its pixels are apart. */
export function lengthOf({ from, to }: Line, facts: DicomFacts | null): Length {
  const [row, column] = facts?.spacingMm ?? [1, 1];
  const length = Math.hypot((to.x - from.x) * column, (to.y - from.y) * row);
  if (!facts?.spacingMm) return { length, unit: "px" };
  return { length, unit: facts.isAtDetector ? "detector" : "mm" };
}
