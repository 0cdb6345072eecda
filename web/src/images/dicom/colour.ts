import type { DataSet } from "dicom-parser";
import { PreviewError, type Samples } from "../types";
import type { RawFrame } from "./frame";
import type { Layout } from "./layout";
import { TAG } from "./tags";

/** Turn colour samples of any photometric interpretation into interleaved 8-bit RGB. */
export function toRgb(
  values: Samples,
  frame: RawFrame,
  layout: Layout,
  dataSet: DataSet,
): Uint8Array {
  if (layout.photometric === "PALETTE COLOR") return fromPalette(values, dataSet);
  const interleaved = frame.planar ? byPixel(values, layout.pixels) : values;
  const scaled = toBytes(interleaved, layout.bitsStored);
  return layout.photometric.startsWith("YBR_FULL") && !frame.isRgb ? fromYbr(scaled) : scaled;
}

function byPixel(values: Samples, pixels: number): Uint16Array {
  const interleaved = new Uint16Array(pixels * 3);
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let sample = 0; sample < 3; sample++) {
      interleaved[pixel * 3 + sample] = values[sample * pixels + pixel] ?? 0;
    }
  }
  return interleaved;
}

function toBytes(values: Samples, bits: number): Uint8Array {
  if (values instanceof Uint8Array) return values;
  return Uint8Array.from(values, (value) => (bits > 8 ? value / 2 ** (bits - 8) : value));
}

/** Source: DICOM PS3.3 C.7.6.3.1.2, YBR_FULL. */
function fromYbr(values: Uint8Array): Uint8Array {
  const rgb = new Uint8ClampedArray(values.length);
  for (let at = 0; at < values.length; at += 3) {
    const y = values[at] as number;
    const blue = (values[at + 1] as number) - 128;
    const red = (values[at + 2] as number) - 128;
    rgb[at] = y + 1.402 * red;
    rgb[at + 1] = y - 0.344136 * blue - 0.714136 * red;
    rgb[at + 2] = y + 1.772 * blue;
  }
  return new Uint8Array(rgb.buffer);
}

/** Source: DICOM PS3.3 C.7.6.3.1.5, C.7.6.3.1.6. */
function fromPalette(values: Samples, dataSet: DataSet): Uint8Array {
  const count = dataSet.uint16(TAG.RedPaletteDescriptor, 0) || 65_536;
  const first = dataSet.uint16(TAG.RedPaletteDescriptor, 1) ?? 0;
  const tables = [TAG.RedPaletteData, TAG.GreenPaletteData, TAG.BluePaletteData].map((tag) =>
    paletteTable(dataSet, tag, count),
  );
  const rgb = new Uint8Array(values.length * 3);
  for (let pixel = 0; pixel < values.length; pixel++) {
    const entry = Math.min(count - 1, Math.max(0, (values[pixel] as number) - first));
    tables.forEach((table, sample) => {
      rgb[pixel * 3 + sample] = table(entry);
    });
  }
  return rgb;
}

function paletteTable(dataSet: DataSet, tag: string, count: number): (entry: number) => number {
  const element = dataSet.elements[tag];
  if (!element) throw new PreviewError("encoding", "PALETTE COLOR");
  // Eight-bit entries may be packed into bytes; the length tells.
  if (element.length < count * 2) {
    return (entry) => dataSet.byteArray[element.dataOffset + entry] ?? 0;
  }
  const deep = (dataSet.uint16(TAG.RedPaletteDescriptor, 2) ?? 16) > 8;
  return (entry) => (dataSet.uint16(tag, entry) ?? 0) >> (deep ? 8 : 0);
}
