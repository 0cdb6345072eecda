/** PS3.3 C.11.2.1.3: how a window maps values to gray. */
export type VoiFunction = "LINEAR" | "LINEAR_EXACT" | "SIGMOID";

/** Entries for the values from `first` on; values outside take the nearest entry. */
export interface LookupTable {
  readonly first: number;
  readonly entries: Uint16Array;
  readonly bits: number;
}

/**
 * A display window in the unit of the image: Hounsfield units for CT, stored values elsewhere.
 *
 * A table is stretched over the window, so that it too can be made wider and brighter.
 */
export interface DisplayWindow {
  readonly centre: number;
  readonly width: number;
  /** LINEAR where it is absent. */
  readonly curve?: VoiFunction | LookupTable;
}

export interface WindowPreset extends DisplayWindow {
  /** A key of `strings.viewer.presets`, or the file's own explanation. */
  readonly name: string;
}

export type Samples = Uint8Array | Uint16Array | Int16Array | Float32Array;

export type Padding = readonly [low: number, high: number];

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
  /** The spacing is that at the detector: what lies before it is smaller than it measures. */
  readonly isAtDetector: boolean;
  readonly frames: number;
  readonly seriesUid: string | null;
  readonly instanceNumber: number | null;
  /** The patient's, in years. */
  readonly age: number | null;
}

/** How a film was taken; nothing here names a person. */
export interface FilmFacts {
  readonly view: string | null;
  /** In years. */
  readonly age: number | null;
  readonly sex: string | null;
  readonly device: string | null;
  /** Columns and rows. */
  readonly size: string | null;
}

/** A film of a trial by its content. `patient` is a digest, never a name or an ID. */
export interface FilmRecord {
  readonly sha256: string;
  readonly facts: FilmFacts;
  readonly patient: string | null;
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
  readonly presets: readonly [WindowPreset, ...WindowPreset[]];
  /** Least and greatest value of what is no padding, after slope and intercept. */
  readonly range: readonly [number, number];
  /** Least and greatest stored value, padding among them. */
  readonly stored: readonly [number, number];
  /** The stored values that are no image, both ends among them; they are black. */
  readonly padding: Padding | null;
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
export type PreviewReason =
  | "encoding"
  | "unknown-format"
  | "no-image"
  | "damaged"
  | "too-large"
  /** Of an earlier visit only the result was kept. */
  | "not-kept"
  /** A part of the page did not arrive; it is asked for again. */
  | "not-loaded";

export class PreviewError extends Error {
  constructor(
    readonly reason: PreviewReason,
    readonly subject = "",
  ) {
    super(`${reason} ${subject}`.trim());
  }
}
