import type { DataSet } from "dicom-parser";
import { completed } from "../build";
import { type DecodedImage, PreviewError, type VoiFunction, type WindowPreset } from "../types";
import { tableWindow } from "../window";
import { toRgb } from "./colour";
import { pixelElement, type RawFrame, readFrame } from "./frame";
import { type Layout, layoutOf } from "./layout";
import { lookupTable, modalityValues } from "./lookup";
import { paddingOf } from "./padding";
import { frameItem, item, numbers, parse } from "./parse";
import { storedValues } from "./samples";
import { TAG } from "./tags";

/** Windows that every reader of chest CT knows, in Hounsfield units. */
const LUNG: WindowPreset = { name: "lung", centre: -600, width: 1500 };
// As contract/grayscale.py: values that cannot go below this tell no lung from other tissue.
const LUNG_HU = -500;
const HOUNSFIELD = /^(|HU|US|UNSPECIFIED|HOUNSFIELD( UNITS?)?)$/;
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
  const { width, height, frames } = layout;
  if (raw.samples >= 3 || layout.photometric === "PALETTE COLOR") {
    const pixels = toRgb(storedValues(raw, layout), raw, layout, dataSet);
    return completed({ width, height, frame, frames, samples: 3, bits: 8, pixels });
  }
  return completed({ width, height, frame, frames, ...grayParts(dataSet, raw, layout, frame) });
}

function grayParts(dataSet: DataSet, raw: RawFrame, layout: Layout, frame: number) {
  const transformation = frameItem(dataSet, frame, TAG.PixelValueTransformationSequence);
  const lut = item(dataSet, TAG.ModalityLUTSequence);
  const [ownSlope] = numbers(transformation, TAG.RescaleSlope);
  const [ownIntercept] = numbers(transformation, TAG.RescaleIntercept);
  const [slope, intercept] = lut ? [1, 0] : [ownSlope ?? 1, ownIntercept ?? 0];
  if (!Number.isFinite(slope + intercept)) throw new PreviewError("damaged");
  const padding = paddingOf(dataSet, layout);
  const values = storedValues(raw, layout, padding);
  const isPlain = !lut && slope === 1 && intercept === 0 && !layout.signed;
  const lowest = least(layout, slope) + intercept;
  const mayBeNegative = !lut && lowest < 0;
  const type = (transformation.string(TAG.RescaleType) ?? "").trim().toUpperCase();
  const isHounsfield =
    dataSet.string(TAG.Modality)?.trim() === "CT" &&
    (ownSlope !== undefined || ownIntercept !== undefined) &&
    !lut &&
    HOUNSFIELD.test(type) &&
    lowest <= LUNG_HU;
  return {
    samples: 1 as const,
    bits: layout.float ? 32 : layout.bitsStored,
    ...(lut
      ? modalityValues(values, lookupTable(lut, layout.signed), padding)
      : { pixels: values, padding }),
    slope,
    intercept,
    nominal:
      isPlain && layout.bitsStored <= 8 && !layout.float
        ? ([0, 2 ** layout.bitsStored - 1] as const)
        : null,
    inverted: isInverted(dataSet, layout),
    presets: presets(ownViews(dataSet, frame, mayBeNegative), isHounsfield),
    unit: isHounsfield ? ("HU" as const) : null,
  };
}

/** The least that a stored value may come to when it is multiplied. */
function least({ signed, bitsStored }: Layout, slope: number): number {
  const lowest = signed ? -(2 ** (bitsStored - 1)) : 0;
  return Math.min(lowest * slope, (lowest + 2 ** bitsStored - 1) * slope);
}

/** CT opens with the lung, as the model sees it, whatever the file was last looked at with. */
function presets(own: readonly WindowPreset[], isHounsfield: boolean): readonly WindowPreset[] {
  return isHounsfield ? [LUNG, ...own, ...OTHER_CT_PRESETS] : own;
}

/** Source: DICOM PS3.3 C.7.6.3.1.2 and C.11.6.1.2. */
const isInverted = (dataSet: DataSet, layout: Layout): boolean =>
  layout.photometric === "MONOCHROME1" ||
  dataSet.string(TAG.PresentationLUTShape)?.trim() === "INVERSE";

/** The function of a window; the last one named is that of all windows after it. */
function voiFunction(voi: DataSet, window: number): VoiFunction {
  const names = (voi.string(TAG.VOILUTFunction) ?? "").toUpperCase().split("\\");
  const name = names[Math.min(window, names.length - 1)]?.trim();
  return name === "LINEAR_EXACT" || name === "SIGMOID" ? name : "LINEAR";
}

/**
 * The file's own views: a table before its windows, unless they alone can be used. Source: DICOM
 * PS3.3 C.11.2.
 */
function ownViews(dataSet: DataSet, frame: number, mayBeNegative: boolean): WindowPreset[] {
  const voi = frameItem(dataSet, frame, TAG.FrameVOILUTSequence);
  const table = item(voi, TAG.VOILUTSequence);
  const windows = ownWindows(voi);
  if (!table) return windows;
  try {
    const curve = lookupTable(table, mayBeNegative);
    // Some writers leave a table of zeros.
    const isFlat = curve.entries.every((entry) => entry === curve.entries[0]);
    if (isFlat && windows.length > 0) return windows;
    return [{ name: "table", ...tableWindow(curve) }, ...windows];
  } catch (error) {
    if (windows.length === 0) throw error;
    return windows;
  }
}

function ownWindows(voi: DataSet): WindowPreset[] {
  const widths = numbers(voi, TAG.WindowWidth);
  const names = (voi.string(TAG.WindowExplanation) ?? "").split("\\");
  return numbers(voi, TAG.WindowCenter).flatMap((centre, index) => {
    const width = widths[index] ?? 0;
    const curve = voiFunction(voi, index);
    // One that the Standard forbids is taken for none.
    const isUsable = curve === "LINEAR" ? width >= 1 : width > 0;
    if (!isUsable || !Number.isFinite(centre + width)) return [];
    const name = names[index]?.trim();
    return [{ name: name ? name.slice(0, 40) : `file-${index + 1}`, centre, width, curve }];
  });
}
