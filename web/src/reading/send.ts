import type { Api } from "../api/client";
import type {
  Finding,
  HeatmapResult,
  ImageAnswer,
  Prediction,
  ProblemBody,
  SeriesAnswer,
} from "../api/types";
import type { Outcome, Problem } from "./outcome";
import { retryAfterMs } from "./retryAfter";
import { fetchWithProgress } from "./xhr";

/** What to ask of the service for one image. `model` null leaves the choice to the service. */
export interface ReadingRequest {
  readonly file: Blob;
  readonly model: string | null;
  readonly version?: number;
  readonly frame: number;
  /** What a heatmap is asked of: "heatmap", as by default, leaves it to the decision. */
  readonly explain?: "none" | "heatmap" | (Finding["label"] & {});
}

export interface Heatmap {
  readonly label: string;
  readonly picture: Blob;
  /** The share of the evidence that lies in the lungs; null where that is not known. */
  readonly insideLungs: number | null;
}

/** One image's answer. `body` is the service's own, without the pictures' bulk. */
export interface Answer {
  readonly body: Prediction;
  readonly image: ImageAnswer;
  readonly model: ImageAnswer["model"];
  readonly heatmap: Heatmap | null;
  /** A mask over the radiograph; null where the service has none. */
  readonly lungs: Blob | null;
  /** What was asked for: the model by name, or null for the service's choice. */
  readonly asked: { readonly model: string | null; readonly frame: number };
  readonly requestId: string | null;
}

/** Send one image as a raw body: its file name, which may name a patient, stays here. */
export async function sendImage(
  api: Api,
  request: ReadingRequest,
  signal: AbortSignal,
  onProgress: (share: number) => void,
): Promise<Outcome<Answer>> {
  if (!(await isReadable(request.file))) {
    return { kind: "problem", problem: { type: "page:unreadable", status: 0 } };
  }
  try {
    const { data, error, response } = await api.POST("/predict", {
      params: { query: query(request) },
      headers: { "Content-Type": "application/octet-stream", Accept: "application/json" },
      body: request.file as never,
      bodySerializer: (body: unknown) => body as Blob,
      fetch: fetchWithProgress(onProgress),
      signal,
    });
    // Of the media types that the document names, JSON was asked for.
    return data ? answered(data as Prediction, request, response) : refused(error, response);
  } catch (error) {
    return thrown(error);
  }
}

/** The most slices of a request, and of a series that the gateway reads. */
const MOST_SLICES = 32;
/** The service takes 64 MiB, the form around the slices among them, unless it is told otherwise. */
const MOST_BYTES = 60 * 1024 * 1024;

/**
 * Send the slices of a series in one request, evenly spaced where they are many or large, and
 * without names. A service that takes none just now is asked again when it says so.
 */
export async function sendSeries(
  api: Api,
  slices: readonly Blob[],
  model: Answer["model"],
  signal: AbortSignal,
): Promise<Outcome<SeriesAnswer>> {
  const form = new FormData();
  for (const slice of sendable(slices)) form.append("file", slice, "slice");
  try {
    const { data, error, response } = await api.POST("/predict", {
      params: { query: { model: model.name, version: model.version } },
      headers: { Accept: "application/json" },
      body: form as never,
      bodySerializer: (body: unknown) => body as FormData,
      signal,
    });
    const answer = (data as Prediction | undefined)?.series?.[0];
    if (answer) return { kind: "answer", answer };
    if (data) return { kind: "problem", problem: { type: "page:no-series", status: 0 } };
    const outcome = refused(error, response);
    if (outcome.kind !== "overloaded") return outcome;
    await new Promise((resolve) => setTimeout(resolve, outcome.retryAfterMs));
  } catch (error) {
    return thrown(error);
  }
  return sendSeries(api, slices, model, signal);
}

/** As many slices as one request may hold, evenly spaced; at least two, as a series has. */
export function sendable(slices: readonly Blob[]): readonly Blob[] {
  for (let count = Math.min(MOST_SLICES, slices.length); ; count--) {
    const apart = (slices.length - 1) / Math.max(1, count - 1);
    const taken = Array.from({ length: count }, (_, at) => slices[Math.round(at * apart)] as Blob);
    const bytes = taken.reduce((sum, { size }) => sum + size, 0);
    if (count <= 2 || bytes <= MOST_BYTES) return taken;
  }
}

/** A body that is no JSON is a proxy's page, or of an older or newer service. */
const thrown = (error: unknown): Outcome<never> =>
  error instanceof SyntaxError ? unexpected(0) : { kind: "broken" };

function query({ model, version, frame, explain = "heatmap" }: ReadingRequest) {
  return {
    // A later service may have findings that this page does not know.
    ...(explain !== "none" && { explain: explain as "heatmap" }),
    ...(model && { model }),
    ...(version !== undefined && { version }),
    ...(frame > 1 && { frame }),
  };
}

/** A file that was moved or changed since it was chosen looks like a broken connection. */
async function isReadable(file: Blob): Promise<boolean> {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

function answered(
  body: Prediction,
  { model, frame }: ReadingRequest,
  response: Response,
): Outcome<Answer> {
  const result = body.results?.[0];
  if (!result) return unexpected(response.status);
  if (result.status === "error") return { kind: "problem", problem: problemOf(result.problem) };
  const { heatmap, lungs, ...image } = result;
  const answer: Answer = {
    body: { ...body, results: [image] },
    image,
    model: image.model,
    heatmap: heatmap ? heatmapOf(heatmap) : null,
    lungs: lungs ? blobOf(lungs) : null,
    asked: { model, frame },
    requestId: response.headers.get("X-Request-ID"),
  };
  return { kind: "answer", answer };
}

/** 429 and 503 say when to come back; everything else is about this image. */
export function refused(error: unknown, response: Response): Outcome<never> {
  const { status } = response;
  const after = response.headers.get("Retry-After");
  if (status === 429 || (status === 503 && after !== null)) {
    const type = isProblem(error) ? problemOf(error).type : "";
    return { kind: "overloaded", retryAfterMs: retryAfterMs(after, Date.now()), type };
  }
  // A gateway answers so for a service that is away behind it.
  if (status === 502 || status === 504) return { kind: "broken" };
  if (!isProblem(error)) return status === 503 ? { kind: "broken" } : unexpected(status);
  const requestId = response.headers.get("X-Request-ID");
  return { kind: "problem", problem: { ...problemOf(error), ...(requestId && { requestId }) } };
}

const unexpected = (status: number): Outcome<never> => ({
  kind: "problem",
  problem: { type: "page:unexpected", status },
});

const isProblem = (value: unknown): value is ProblemBody =>
  typeof value === "object" && value !== null && "type" in value && "title" in value;

const problemOf = ({ type, title, status, detail }: ProblemBody): Problem => ({
  // The last part of the address names the kind.
  type: type.split("/").at(-1) ?? type,
  title,
  status,
  detail,
});

const heatmapOf = (heatmap: HeatmapResult): Heatmap => ({
  label: heatmap.label,
  picture: blobOf(heatmap),
  insideLungs: heatmap.inside_lungs ?? null,
});

function blobOf(picture: { media_type: string; data: string }): Blob {
  const text = atob(picture.data);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = text.charCodeAt(at);
  return new Blob([bytes], { type: picture.media_type });
}
