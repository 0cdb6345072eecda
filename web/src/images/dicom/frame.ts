import {
  createJPEGBasicOffsetTable,
  type DataSet,
  type Element,
  readEncapsulatedImageFrame,
  readEncapsulatedPixelDataFromFragments,
} from "dicom-parser";
import { opaque, rasterPixels } from "../raster";
import { PreviewError } from "../types";
import { type Coded, decodeJpeg2000, decodeJpegLossless, decodeJpegLs } from "./codecs";
import { codestreamOf } from "./codestream";
import type { Layout } from "./layout";
import { transferSyntax } from "./parse";
import { decodeRle } from "./rle";
import { SYNTAX, syntaxName, TAG } from "./tags";

const PLAIN: ReadonlySet<string> = new Set([
  SYNTAX.implicitLittle,
  SYNTAX.explicitLittle,
  SYNTAX.explicitBig,
  SYNTAX.deflated,
]);

/** A frame's samples as bytes, interleaved by pixel unless `planar`. */
export interface RawFrame {
  readonly bytes: Uint8Array;
  readonly bigEndian: boolean;
  readonly planar: boolean;
  readonly samples: number;
  /** The decoder has already turned YCbCr into RGB. */
  readonly isRgb: boolean;
  /** Absent where the bytes are cells as the data set describes them: of native data and of RLE. */
  readonly coded?: Coded;
}

/**
 * Read one frame's samples.
 *
 * @throws PreviewError where the encoding has no decoder here, or the data is damaged.
 */
export async function readFrame(
  dataSet: DataSet,
  element: Element,
  layout: Layout,
  frame: number,
): Promise<RawFrame> {
  const plain = {
    bigEndian: false,
    planar: layout.planar,
    samples: layout.samples,
    isRgb: false,
  };
  const syntax = transferSyntax(dataSet);
  if (!element.encapsulatedPixelData) {
    if (!PLAIN.has(syntax)) throw new PreviewError("encoding", syntaxName(syntax));
    const bigEndian = syntax === SYNTAX.explicitBig;
    return { ...plain, bigEndian, bytes: nativeFrame(dataSet, element, layout, frame) };
  }
  const coded = codedFrame(dataSet, element, layout, frame);
  try {
    const decoded = await decodeCoded(syntax, coded, layout);
    return { ...plain, planar: false, ...decoded };
  } catch (error) {
    throw error instanceof PreviewError ? error : new PreviewError("damaged");
  }
}

function nativeFrame(dataSet: DataSet, element: Element, layout: Layout, frame: number) {
  const length = layout.pixels * layout.samples * layout.bytesPerSample;
  const start = element.dataOffset + length * (frame - 1);
  if (start + length > element.dataOffset + element.length) throw new PreviewError("damaged");
  return dataSet.byteArray.subarray(start, start + length);
}

function codedFrame(dataSet: DataSet, element: Element, layout: Layout, frame: number): Uint8Array {
  const fragments = element.fragments ?? [];
  if (layout.frames === 1) {
    return readEncapsulatedPixelDataFromFragments(dataSet, element, 0, fragments.length);
  }
  if (fragments.length === layout.frames) {
    return readEncapsulatedPixelDataFromFragments(dataSet, element, frame - 1, 1);
  }
  const table = element.basicOffsetTable?.length
    ? element.basicOffsetTable
    : createJPEGBasicOffsetTable(dataSet, element);
  return readEncapsulatedImageFrame(dataSet, element, frame - 1, table);
}

type Decoded = Pick<RawFrame, "bytes"> & Partial<RawFrame>;

/** Decode a codestream by what it is, whatever the transfer syntax says, as the service does. */
async function decodeCoded(syntax: string, coded: Uint8Array, layout: Layout): Promise<Decoded> {
  const { family, bits } = codestreamOf(coded);
  switch (family) {
    case "JPEG":
      return baseline(coded, layout);
    case "JPEG Lossless": {
      const bytes = await decodeJpegLossless(coded, bits);
      return { bytes, coded: { bits, signed: false, lossy: false } };
    }
    case "JPEG-LS": {
      const image = await decodeJpegLs(coded);
      return { bytes: image.bytes, coded: image };
    }
    case "JPEG 2000": {
      const image = await decodeJpeg2000(coded);
      // The decoder makes 0 of what is negative in 8 bits.
      if (image.signed && image.bits <= 8) throw new PreviewError("encoding", syntaxName(syntax));
      return { bytes: image.bytes, coded: image, isRgb: image.components === 3 };
    }
    default:
      if (family !== null || syntax !== SYNTAX.rle)
        throw new PreviewError("encoding", syntaxName(syntax));
      return { bytes: decodeRle(coded, layout.pixels, layout.samples, layout.bytesPerSample) };
  }
}

async function baseline(jpeg: Uint8Array, layout: Layout): Promise<Decoded> {
  const { data } = await rasterPixels(jpeg, "image/jpeg", "none" as ImageOrientation);
  const { pixels, samples } = opaque(data);
  const coded = { bits: 8, signed: false, lossy: true };
  if (samples === layout.samples) return { bytes: pixels, samples, isRgb: true, coded };
  const repeated = new Uint8Array(pixels.length * 3);
  for (let at = 0; at < repeated.length; at++) repeated[at] = pixels[Math.floor(at / 3)] ?? 0;
  return { bytes: repeated, samples: 3, isRgb: true, coded };
}

export function pixelElement(dataSet: DataSet): Element {
  const element =
    dataSet.elements[TAG.PixelData] ??
    dataSet.elements[TAG.FloatPixelData] ??
    dataSet.elements[TAG.DoubleFloatPixelData];
  if (!element) throw new PreviewError("no-image");
  return element;
}
