import type { DataSet } from "dicom-parser";
import type { Padding } from "../types";
import type { Layout } from "./layout";
import { lowBits } from "./samples";
import { TAG } from "./tags";

/**
 * The stored values that are padding, or null.
 *
 * Source: DICOM PS3.3 C.7.5.1.1.2 and C.7.6.24.
 */
export function paddingOf(dataSet: DataSet, layout: Layout): Padding | null {
  const read = layout.float ? floatReader(dataSet, layout) : integerReader(dataSet, layout);
  const [value, limit] = [read("Value"), read("RangeLimit")];
  if (value === undefined || Number.isNaN(value)) return null;
  const other = limit ?? value;
  return [Math.min(value, other), Math.max(value, other)];
}

type Read = (part: "Value" | "RangeLimit") => number | undefined;

function floatReader(dataSet: DataSet, layout: Layout): Read {
  if (layout.bytesPerSample === 4) return (part) => dataSet.float(TAG[`FloatPixelPadding${part}`]);
  return (part) => {
    const value = dataSet.double(TAG[`DoubleFloatPixelPadding${part}`]);
    // The samples are kept with single precision.
    return value === undefined ? undefined : Math.fround(value);
  };
}

/** A writer may give the bits of a signed value as an unsigned one, so the bits are read. */
function integerReader(dataSet: DataSet, layout: Layout): Read {
  return (part) => {
    const bits = dataSet.uint16(TAG[`PixelPadding${part}`]);
    return bits === undefined
      ? undefined
      : lowBits(bits, Math.min(16, layout.bytesPerSample * 8), layout.signed);
  };
}
