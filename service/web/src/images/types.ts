/** A display window in the unit of the image: Hounsfield units for CT, stored values elsewhere. */
export interface DisplayWindow {
  readonly centre: number;
  readonly width: number;
}

export interface WindowPreset extends DisplayWindow {
  /** A key of `strings.viewer.presets`, or the file's own explanation. */
  readonly name: string;
}

/** PS3.3 C.11.2.1.3: how a window maps values to gray. */
export type VoiFunction = "LINEAR" | "LINEAR_EXACT" | "SIGMOID";

export type Samples = Uint8Array | Uint16Array | Int16Array | Float32Array;

/** What a file says of itself. Nothing here names a person. */
export interface DicomFacts {
  readonly modality: string | null;
  readonly bodyPart: string | null;
  readonly view: string | null;
  readonly laterality: string | null;
  readonly photometric: string | null;
  readonly transferSyntax: string;
  readonly bitsStored: number | null;
  readonly rows: number | null;
  readonly columns: number | null;
  /** Row then column, in millimetres. */
  readonly spacingMm: readonly [number, number] | null;
  readonly frames: number;
}

/** One frame at full depth. `samples` is 1 (gray) or 3 (red, green, blue, interleaved). */
export interface DecodedImage {
  readonly width: number;
  readonly height: number;
  readonly samples: 1 | 3;
  readonly pixels: Samples;
  readonly bits: number;
  readonly slope: number;
  readonly intercept: number;
  readonly inverted: boolean;
  readonly voiFunction: VoiFunction;
  readonly presets: readonly [WindowPreset, ...WindowPreset[]];
  /** Least and greatest value, after slope and intercept. */
  readonly range: readonly [number, number];
  readonly unit: "HU" | null;
  readonly frame: number;
  readonly frames: number;
}

/** Who the image shows; read from the file only when the reader asks. */
export interface Patient {
  readonly name: string | null;
  readonly id: string | null;
}

/** Why a file that may be perfectly good cannot be drawn in a browser. */
export type PreviewReason = "encoding" | "unknown-format" | "no-image" | "damaged" | "too-large";

export class PreviewError extends Error {
  constructor(
    readonly reason: PreviewReason,
    readonly subject = "",
  ) {
    super(`${reason} ${subject}`.trim());
  }
}
