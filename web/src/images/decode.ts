import { decodeDicom } from "./dicom/image";
import { part } from "./part";
import { decodeRaster } from "./raster";
import { isDeepPng, sniff } from "./sniff";
import { type DecodedImage, PreviewError } from "./types";

// What few files need comes apart, so that the first load stays light.
const png = part(() => import("./png"));
const tiff = part(() => import("./tiff"));

/**
 * Load the decoders of the rarer formats before they are needed.
 *
 * @throws PreviewError where one does not arrive.
 */
export async function loadFormats(): Promise<void> {
  await Promise.all([png(), tiff()]);
}

/**
 * Decode one frame of a file at its full depth.
 *
 * @throws PreviewError where this file cannot be drawn here.
 */
export async function decode(file: Blob, frame = 1): Promise<DecodedImage> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  switch (sniff(bytes)) {
    case "dicom":
      return decodeDicom(bytes, frame);
    case "png":
      if (isDeepPng(bytes)) return (await png()).decodeDeepPng(bytes);
      return decodeRaster(bytes, "image/png");
    case "jpeg":
      return decodeRaster(bytes, "image/jpeg");
    case "tiff":
      return (await tiff()).decodeTiff(bytes, frame);
    default:
      throw new PreviewError("unknown-format");
  }
}
