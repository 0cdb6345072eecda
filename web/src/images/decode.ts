import { decodeDicom } from "./dicom/image";
import { decodeDeepPng, isDeepPng } from "./png";
import { decodeRaster } from "./raster";
import { sniff } from "./sniff";
import { decodeTiff } from "./tiff";
import { type DecodedImage, PreviewError } from "./types";

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
      return isDeepPng(bytes) ? decodeDeepPng(bytes) : decodeRaster(bytes, "image/png");
    case "jpeg":
      return decodeRaster(bytes, "image/jpeg");
    case "tiff":
      return decodeTiff(bytes, frame);
    default:
      throw new PreviewError("unknown-format");
  }
}
