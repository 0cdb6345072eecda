import {
  createJPEGBasicOffsetTable,
  type DataSet,
  type Element,
  readEncapsulatedImageFrame,
  readEncapsulatedPixelDataFromFragments,
} from "dicom-parser";
import { opaque, rasterPixels } from "../raster";
import { PreviewError } from "../types";
import { decodeJpeg2000, decodeJpegLossless, decodeJpegLs } from "./codecs";
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
  /** What the codestream says of its samples, where it does. */
  readonly coded?: { readonly signed: boolean; readonly bits: number };
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
    return {
      ...plain,
      planar: false,
      ...(await decodeCoded(syntax, coded, layout)),
    };
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

async function decodeCoded(syntax: string, coded: Uint8Array, layout: Layout): Promise<Decoded> {
  switch (syntax) {
    case SYNTAX.rle:
      return { bytes: decodeRle(coded, layout.pixels, layout.samples, layout.bytesPerSample) };
    case SYNTAX.jpegBaseline:
      return baseline(coded, layout);
    case SYNTAX.jpegExtended:
      // The browser reads the 8-bit kind alone; of 12 bits there is no decoder here.
      if (layout.bitsStored > 8) throw new PreviewError("encoding", syntaxName(syntax));
      return baseline(coded, layout);
    case SYNTAX.jpegLossless:
    case SYNTAX.jpegLosslessFirstOrder:
      return { bytes: await decodeJpegLossless(coded, layout.bytesPerSample) };
    case SYNTAX.jpegLsLossless:
    case SYNTAX.jpegLsNear:
      return wide(await decodeJpegLs(coded), layout);
    case SYNTAX.jpeg2000:
    case SYNTAX.jpeg2000Lossless: {
      const image = await decodeJpeg2000(coded);
      return { ...wide(image, layout), coded: image, isRgb: image.components === 3 };
    }
    default:
      throw new PreviewError("encoding", syntaxName(syntax));
  }
}

async function baseline(coded: Uint8Array, layout: Layout): Promise<Decoded> {
  const { data } = await rasterPixels(coded, "image/jpeg", "none" as ImageOrientation);
  const { pixels, samples } = opaque(data);
  if (samples === layout.samples) return { bytes: pixels, samples, isRgb: true };
  const repeated = new Uint8Array(pixels.length * 3);
  for (let at = 0; at < repeated.length; at++) repeated[at] = pixels[Math.floor(at / 3)] ?? 0;
  return { bytes: repeated, samples: 3, isRgb: true };
}

/** A codestream of at most 8 bits decodes to bytes even where DICOM allocates 16 bits. */
function wide(image: { bytes: Uint8Array; bits: number }, layout: Layout): { bytes: Uint8Array } {
  if (image.bits > 8 || layout.bytesPerSample === 1) return { bytes: image.bytes };
  const bytes = new Uint8Array(image.bytes.length * layout.bytesPerSample);
  image.bytes.forEach((value, index) => {
    bytes[index * layout.bytesPerSample] = value;
  });
  return { bytes };
}

export function pixelElement(dataSet: DataSet): Element {
  const element =
    dataSet.elements[TAG.PixelData] ??
    dataSet.elements[TAG.FloatPixelData] ??
    dataSet.elements[TAG.DoubleFloatPixelData];
  if (!element) throw new PreviewError("no-image");
  return element;
}
