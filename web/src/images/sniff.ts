export type ImageFormat = "jpeg" | "png" | "tiff" | "dicom";

/** Bytes that `sniff` needs: DICOM's mark stands at 128, the PNG bit depth at 24. */
export const SNIFF_BYTES = 132;

const JPEG = [0xff, 0xd8, 0xff];
const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const TIFF_LITTLE = [0x49, 0x49, 0x2a, 0x00];
const TIFF_BIG = [0x4d, 0x4d, 0x00, 0x2a];
const BIG_TIFF_LITTLE = [0x49, 0x49, 0x2b, 0x00];
const BIG_TIFF_BIG = [0x4d, 0x4d, 0x00, 0x2b];
const TIFFS = [TIFF_LITTLE, TIFF_BIG, BIG_TIFF_LITTLE, BIG_TIFF_BIG];
const DICM = [0x44, 0x49, 0x43, 0x4d];

export const has = (bytes: Uint8Array, mark: number[], at = 0): boolean =>
  mark.every((value, index) => bytes[at + index] === value);

const BIT_DEPTH_AT = 24;

/** A canvas keeps 8 bits of a 16-bit PNG; such a file needs a decoder of its own. */
export const isDeepPng = (bytes: Uint8Array): boolean => bytes[BIT_DEPTH_AT] === 16;

const VALUE_REPRESENTATION = /^(?:AE|CS|DA|LO|OB|PN|SH|SQ|TM|UI|UL|US)$/;
const UNDEFINED_LENGTH = 0xffffffff;

export const isBigTiff = (bytes: Uint8Array): boolean =>
  has(bytes, BIG_TIFF_LITTLE) || has(bytes, BIG_TIFF_BIG);

/** Whether there is a preamble with the prefix of a DICOM file. Source: DICOM PS3.10 7.1. */
export const isDicomFile = (bytes: Uint8Array): boolean => has(bytes, DICM, 128);

/** Whether a file begins with the prefix, its preamble lost. */
export const isWithoutPreamble = (bytes: Uint8Array): boolean => has(bytes, DICM);

/** Whether the first element names its value representation, as Explicit VR has it. */
export const isExplicit = (bytes: Uint8Array): boolean =>
  VALUE_REPRESENTATION.test(String.fromCharCode(...bytes.subarray(4, 6)));

/** A data set begins with a group of identification, here with its bytes swapped. */
export const isBigEndian = (bytes: Uint8Array): boolean => has(bytes, [0x00, 0x08, 0x00]);

/**
 * Recognise a DICOM data set that was stored without preamble and prefix, as the service does: its
 * first element must name a value representation, or give an implicit length within the file.
 */
function isBareDataSet(bytes: Uint8Array, size: number): boolean {
  const isFirstGroup = bytes[0] === 0x02 || bytes[0] === 0x08;
  const isLittle = isFirstGroup && bytes[1] === 0 && bytes[3] === 0;
  if (bytes.length < 4 || !(isLittle || isBigEndian(bytes))) return false;
  if (isExplicit(bytes)) return true;
  if (!isLittle || size <= 8 || bytes.length < 8) return false;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
  return length === UNDEFINED_LENGTH || length <= size - 8;
}

/**
 * Tell an image's format by its content, never by its name, as the service does.
 *
 * @param bytes The file, or its first `SNIFF_BYTES`.
 * @param size The length of the file.
 */
export function sniff(bytes: Uint8Array, size = bytes.length): ImageFormat | null {
  if (isDicomFile(bytes) || isWithoutPreamble(bytes) || isBareDataSet(bytes, size)) return "dicom";
  if (has(bytes, JPEG)) return "jpeg";
  if (has(bytes, PNG)) return "png";
  if (TIFFS.some((mark) => has(bytes, mark))) return "tiff";
  return null;
}

export async function sniffFile(file: Blob): Promise<ImageFormat | null> {
  const start = new Uint8Array(await file.slice(0, SNIFF_BYTES).arrayBuffer());
  return sniff(start, file.size);
}
