import { kept } from "./dicom/kept";
import { PreviewError } from "./types";

/** A part of the page that is loaded when it is first needed. */
export function part<T>(load: () => Promise<T>): () => Promise<T> {
  return kept(async () => {
    try {
      return await load();
    } catch {
      throw new PreviewError("not-loaded");
    }
  });
}
