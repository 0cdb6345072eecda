import type { DataSet } from "dicom-parser";
import { completed } from "../build";
import type { DecodedImage, Samples, VoiFunction, WindowPreset } from "../types";
import { toRgb } from "./colour";
import { pixelElement, readFrame } from "./frame";
import { type Layout, layoutOf } from "./layout";
import { applyModalityLut } from "./modality";
import { frameItem, item, numbers, parse } from "./parse";
import { storedValues } from "./samples";
import { TAG } from "./tags";

/** Windows that every reader of chest CT knows, in Hounsfield units. */
const CT_PRESETS: readonly WindowPreset[] = [
  { name: "lung", centre: -600, width: 1500 },
  { name: "mediastinum", centre: 40, width: 400 },
  { name: "bone", centre: 400, width: 1800 },
];

/**
 * Decode one frame of a DICOM file to stored values with all that is needed to show them.
 *
 * @throws PreviewError where it cannot be shown here.
 */
export async function decodeDicom(bytes: Uint8Array, frame: number): Promise<DecodedImage> {
  const dataSet = parse(bytes);
  const element = pixelElement(dataSet);
  const layout = layoutOf(dataSet);
  const raw = await readFrame(dataSet, element, layout, frame);
  const values = storedValues(raw, layout);
  const { width, height, frames } = layout;
  if (raw.samples >= 3 || layout.photometric === "PALETTE COLOR") {
    const pixels = toRgb(values, raw, layout, dataSet);
    return completed({ width, height, frame, frames, samples: 3, bits: 8, pixels });
  }
  return completed({ width, height, frame, frames, ...grayParts(dataSet, values, layout, frame) });
}

function grayParts(dataSet: DataSet, values: Samples, layout: Layout, frame: number) {
  const transformation = frameItem(dataSet, frame, TAG.PixelValueTransformationSequence);
  const lut = item(dataSet, TAG.ModalityLUTSequence);
  const isCt = dataSet.string(TAG.Modality)?.trim() === "CT";
  return {
    samples: 1 as const,
    bits: layout.float ? 32 : layout.bitsStored,
    pixels: lut ? applyModalityLut(values, lut, layout.signed) : values,
    slope: lut ? 1 : transformation.floatString(TAG.RescaleSlope) || 1,
    intercept: lut ? 0 : (transformation.floatString(TAG.RescaleIntercept) ?? 0),
    inverted: isInverted(dataSet, layout),
    voiFunction: voiFunction(frameItem(dataSet, frame, TAG.FrameVOILUTSequence)),
    presets: [...ownWindows(dataSet, frame), ...(isCt ? CT_PRESETS : [])],
    unit: isCt ? ("HU" as const) : null,
  };
}

/** Source: DICOM PS3.3 C.7.6.3.1.2 and C.11.6.1.2. */
const isInverted = (dataSet: DataSet, layout: Layout): boolean =>
  layout.photometric === "MONOCHROME1" ||
  dataSet.string(TAG.PresentationLUTShape)?.trim() === "INVERSE";

function voiFunction(dataSet: DataSet): VoiFunction {
  const name = dataSet.string(TAG.VOILUTFunction)?.trim();
  return name === "LINEAR_EXACT" || name === "SIGMOID" ? name : "LINEAR";
}

function ownWindows(dataSet: DataSet, frame: number): WindowPreset[] {
  const voi = frameItem(dataSet, frame, TAG.FrameVOILUTSequence);
  const widths = numbers(voi, TAG.WindowWidth);
  const names = (voi.string(TAG.WindowExplanation) ?? "").split("\\");
  return numbers(voi, TAG.WindowCenter).flatMap((centre, index) => {
    const width = widths[index] ?? 0;
    if (width <= 0) return [];
    const name = names[index]?.trim();
    return [{ name: name ? name.slice(0, 40) : `file-${index + 1}`, centre, width }];
  });
}
