import type { DataSet } from "dicom-parser";
import { decode, loadFormats } from "./decode";
import { loadDecoders } from "./dicom/codecs";
import { facts, patient } from "./dicom/facts";
import { parse } from "./dicom/parse";
import { TAG } from "./dicom/tags";
import { filmRecord } from "./film";
import { type Request, type Response, STARTED } from "./protocol";
import { thumbnail } from "./thumbnail";
import { PreviewError } from "./types";

const THUMBNAIL_EDGE = 96;
const HEAD_BYTES = 64 * 1024;
/** By then the page has what it needs to be seen. */
const IDLE_MS = 3_000;

/** What stands before the pixels; of a file whose head is long, or deflated, all of it is read. */
async function headOf(file: Blob): Promise<DataSet> {
  const before = async (part: Blob) =>
    parse(new Uint8Array(await part.arrayBuffer()), TAG.PixelData);
  const head = await before(file.slice(0, HEAD_BYTES)).catch(() => null);
  return head && TAG.PixelData in head.elements ? head : before(file);
}

async function answer(request: Request): Promise<unknown> {
  switch (request.kind) {
    case "decode":
      return decode(request.file, request.frame);
    case "thumbnail":
      return thumbnail(await decode(request.file), THUMBNAIL_EDGE);
    case "film":
      return filmRecord(new Uint8Array(await request.file.arrayBuffer()), request.salt);
    case "facts":
    case "patient": {
      const dataSet = await headOf(request.file);
      return request.kind === "facts" ? facts(dataSet) : patient(dataSet);
    }
  }
}

self.onmessage = async ({ data: request }: MessageEvent<Request>) => {
  try {
    const value = await answer(request);
    const buffer = (value as { pixels?: { buffer: ArrayBuffer } } | null)?.pixels?.buffer;
    self.postMessage({ id: request.id, value } satisfies Response, {
      transfer: buffer ? [buffer] : [],
    });
  } catch (error) {
    const known = error instanceof PreviewError ? error : new PreviewError("damaged");
    const failure = { reason: known.reason, subject: known.subject };
    self.postMessage({ id: request.id, failure } satisfies Response);
  }
};

self.postMessage({ id: STARTED, value: null } satisfies Response);
// A service that goes away later leaves the decoders here. What fails now is asked for again.
setTimeout(() => {
  for (const load of [loadDecoders, loadFormats]) void load().catch(() => {});
}, IDLE_MS);
