import type { Answer } from "../reading/send";

/** A gateway that has a service read an image waits for it. */
const PATIENCE_MS = 120_000;

/**
 * Have the gateway write a DICOM structured report on an image. It asks the service again, with
 * the reader's key, so that no report says what no model said.
 *
 * @returns the file, or in words why there is none; null where the gateway is not reached.
 */
export async function dicomReport(
  gateway: string,
  key: string | null,
  file: Blob,
  { model, asked }: Answer,
): Promise<Blob | string | null> {
  const query = new URLSearchParams({
    frame: String(asked.frame),
    model: model.name,
    digest: model.digest,
  });
  try {
    const response = await fetch(`${gateway}/report?${query}`, {
      method: "POST",
      headers: {
        "Content-Type": "application/dicom",
        ...(key && { Authorization: `Bearer ${key}` }),
      },
      body: file,
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    return response.ok ? await response.blob() : await response.text();
  } catch {
    return null;
  }
}
