export type ImageFormat = "jpeg" | "png" | "tiff" | "dicom";

/** Bytes that `sniff` needs: DICOM's mark stands at 128, the PNG bit depth at 24. */
export const SNIFF_BYTES = 132;

const JPEG = [0xff, 0xd8, 0xff];
const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const TIFF_LITTLE = [0x49, 0x49, 0x2a, 0x00];
const TIFF_BIG = [0x4d, 0x4d, 0x00, 0x2a];
const DICM = [0x44, 0x49, 0x43, 0x4d];

const has = (bytes: Uint8Array, mark: number[], at = 0): boolean =>
  mark.every((value, index) => bytes[at + index] === value);

/**
 * Tell an image's format by its content, never by its name, as the service does.
 *
 * A DICOM file without preamble is not recognised here; the service decides about it.
 */
export function sniff(bytes: Uint8Array): ImageFormat | null {
  if (has(bytes, DICM, 128)) return "dicom";
  if (has(bytes, JPEG)) return "jpeg";
  if (has(bytes, PNG)) return "png";
  if (has(bytes, TIFF_LITTLE) || has(bytes, TIFF_BIG)) return "tiff";
  return null;
}

export async function sniffFile(file: Blob): Promise<ImageFormat | null> {
  return sniff(new Uint8Array(await file.slice(0, SNIFF_BYTES).arrayBuffer()));
}
