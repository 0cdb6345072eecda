import type { DataSet } from "dicom-parser";
import { completed } from "../build";
import type { DecodedImage, Samples, VoiFunction, WindowPreset } from "../types";
import { tableWindow } from "../window";
import { toRgb } from "./colour";
import { pixelElement, readFrame } from "./frame";
import { type Layout, layoutOf } from "./layout";
import { lookupTable, modalityValues } from "./lookup";
import { paddingOf } from "./padding";
import { frameItem, item, numbers, parse } from "./parse";
import { storedValues } from "./samples";
import { TAG } from "./tags";

/** Windows that every reader of chest CT knows, in Hounsfield units. */
const LUNG: WindowPreset = { name: "lung", centre: -600, width: 1500 };
const OTHER_CT_PRESETS: readonly WindowPreset[] = [
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
  const slope = transformation.floatString(TAG.RescaleSlope);
  const intercept = transformation.floatString(TAG.RescaleIntercept);
  const isSigned = values instanceof Int16Array || layout.signed;
  const padding = paddingOf(dataSet, layout, isSigned);
  const isHounsfield =
    dataSet.string(TAG.Modality)?.trim() === "CT" && slope !== undefined && intercept !== undefined;
  const scale = lut ? {} : { slope: slope ?? 1, intercept: intercept ?? 0 };
  const isPlain = !lut && (slope ?? 1) === 1 && (intercept ?? 0) === 0 && !isSigned;
  return {
    samples: 1 as const,
    bits: layout.float ? 32 : layout.bitsStored,
    ...(lut
      ? modalityValues(values, lookupTable(lut, layout.signed), padding)
      : { pixels: values, padding }),
    ...scale,
    ...(isPlain && layout.bitsStored <= 8 && !layout.float
      ? { nominal: [0, 2 ** layout.bitsStored - 1] as const }
      : {}),
    inverted: isInverted(dataSet, layout),
    presets: presets(ownViews(dataSet, frame, layout), isHounsfield),
    unit: isHounsfield ? ("HU" as const) : null,
  };
}

/** CT opens with the lung, as the model sees it, whatever the file was last looked at with. */
function presets(own: readonly WindowPreset[], isHounsfield: boolean): readonly WindowPreset[] {
  return isHounsfield ? [LUNG, ...own, ...OTHER_CT_PRESETS] : own;
}

/** Source: DICOM PS3.3 C.7.6.3.1.2 and C.11.6.1.2. */
const isInverted = (dataSet: DataSet, layout: Layout): boolean =>
  layout.photometric === "MONOCHROME1" ||
  dataSet.string(TAG.PresentationLUTShape)?.trim() === "INVERSE";

function voiFunction(voi: DataSet): VoiFunction {
  const name = voi.string(TAG.VOILUTFunction)?.trim();
  return name === "LINEAR_EXACT" || name === "SIGMOID" ? name : "LINEAR";
}

/** The file's own views: a table before its windows. Source: DICOM PS3.3 C.11.2. */
function ownViews(dataSet: DataSet, frame: number, layout: Layout): WindowPreset[] {
  const voi = frameItem(dataSet, frame, TAG.FrameVOILUTSequence);
  const table = item(voi, TAG.VOILUTSequence);
  const windows = ownWindows(voi);
  if (!table) return windows;
  return [{ name: "table", ...tableWindow(lookupTable(table, layout.signed)) }, ...windows];
}

function ownWindows(voi: DataSet): WindowPreset[] {
  const widths = numbers(voi, TAG.WindowWidth);
  const names = (voi.string(TAG.WindowExplanation) ?? "").split("\\");
  const curve = voiFunction(voi);
  return numbers(voi, TAG.WindowCenter).flatMap((centre, index) => {
    const width = widths[index] ?? 0;
    // One that the Standard forbids is taken for none.
    if (curve === "LINEAR" ? width < 1 : width <= 0) return [];
    const name = names[index]?.trim();
    return [{ name: name ? name.slice(0, 40) : `file-${index + 1}`, centre, width, curve }];
  });
}
