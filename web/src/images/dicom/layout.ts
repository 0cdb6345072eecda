import type { DataSet } from "dicom-parser";
import { MAX_PREVIEW_PIXELS } from "../limits";
import { PreviewError } from "../types";
import { frameCount } from "./facts";
import { transferSyntax } from "./parse";
import { SYNTAX, TAG } from "./tags";

const MAY_BE_LOSSY: readonly string[] = [SYNTAX.jpeg2000, SYNTAX.highThroughputJpeg2000];

/** How samples lie in the pixel data. Source: DICOM PS3.3 C.7.6.3.1. */
export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly pixels: number;
  readonly frames: number;
  readonly samples: number;
  readonly bytesPerSample: number;
  readonly bitsStored: number;
  readonly highBit: number;
  readonly signed: boolean;
  readonly planar: boolean;
  readonly float: boolean;
  /** Compressed with loss, though the codestream itself may be reversible. */
  readonly lossy: boolean;
  readonly photometric: string;
}

/**
 * Read the layout.
 *
 * @throws PreviewError where there is no image, or it is larger than a tab can hold.
 */
export function layoutOf(dataSet: DataSet): Layout {
  const height = dataSet.uint16(TAG.Rows) ?? 0;
  const width = dataSet.uint16(TAG.Columns) ?? 0;
  if (width === 0 || height === 0) throw new PreviewError("no-image");
  if (width * height > MAX_PREVIEW_PIXELS) throw new PreviewError("too-large");
  const bitsAllocated = dataSet.uint16(TAG.BitsAllocated) ?? 8;
  if (bitsAllocated % 8 !== 0) throw new PreviewError("encoding", `${bitsAllocated} bit`);
  const bitsStored = dataSet.uint16(TAG.BitsStored) ?? bitsAllocated;
  return {
    width,
    height,
    pixels: width * height,
    frames: frameCount(dataSet),
    samples: dataSet.uint16(TAG.SamplesPerPixel) ?? 1,
    bytesPerSample: bitsAllocated / 8,
    bitsStored,
    highBit: dataSet.uint16(TAG.HighBit) ?? bitsStored - 1,
    signed: dataSet.uint16(TAG.PixelRepresentation) === 1,
    planar: dataSet.uint16(TAG.PlanarConfiguration) === 1,
    float: !(TAG.PixelData in dataSet.elements),
    lossy:
      dataSet.string(TAG.LossyImageCompression) !== "00" &&
      MAY_BE_LOSSY.includes(transferSyntax(dataSet)),
    photometric: (dataSet.string(TAG.PhotometricInterpretation) ?? "MONOCHROME2").trim(),
  };
}
