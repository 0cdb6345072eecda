import { type Request, type Response, STARTED } from "./protocol";
import {
  type DecodedImage,
  type DicomFacts,
  type FilmRecord,
  type Patient,
  PreviewError,
  type PreviewReason,
} from "./types";

type Ask = Request extends infer R ? (R extends Request ? Omit<R, "id"> : never) : never;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: PreviewError) => void;
}

const startWorker = (): Worker =>
  new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });

/**
 * Decodes images in a worker, so that the page stays smooth.
 *
 * The worker starts at once, while the service that sends it is there. One that did not arrive, or
 * lacks a decoder, is started again at the next question.
 */
export class ImageWorker {
  readonly #start: () => Worker;
  #worker: Worker | null;
  #hasStarted = false;
  #next = STARTED + 1;
  readonly #pending = new Map<number, Pending>();

  constructor(start: () => Worker = startWorker) {
    this.#start = start;
    this.#worker = this.#started();
  }

  decode(file: Blob, frame: number): Promise<DecodedImage> {
    return this.#ask({ kind: "decode", file, frame }) as Promise<DecodedImage>;
  }

  thumbnail(file: Blob): Promise<Blob> {
    return this.#ask({ kind: "thumbnail", file }) as Promise<Blob>;
  }

  film(file: Blob, salt: string): Promise<FilmRecord> {
    return this.#ask({ kind: "film", file, salt }) as Promise<FilmRecord>;
  }

  facts(file: Blob): Promise<DicomFacts | null> {
    return this.#ask({ kind: "facts", file }) as Promise<DicomFacts | null>;
  }

  patient(file: Blob): Promise<Patient | null> {
    return this.#ask({ kind: "patient", file }) as Promise<Patient | null>;
  }

  #ask(ask: Ask): Promise<unknown> {
    this.#worker ??= this.#started();
    const id = this.#next++;
    const answer = new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
    this.#worker.postMessage({ ...ask, id });
    return answer;
  }

  #started(): Worker {
    const worker = this.#start();
    this.#hasStarted = false;
    worker.onmessage = ({ data }: MessageEvent<Response>) => this.#settle(data);
    // One that ran has died of the image, out of memory; one that never ran did not arrive.
    worker.onerror = () => this.#abandon(this.#hasStarted ? "too-large" : "not-loaded");
    return worker;
  }

  #settle(response: Response): void {
    this.#hasStarted = true;
    const pending = this.#pending.get(response.id);
    this.#pending.delete(response.id);
    if ("value" in response) {
      pending?.resolve(response.value);
      return;
    }
    const { reason, subject } = response.failure;
    pending?.reject(new PreviewError(reason, subject));
    // A worker never asks twice for a part that did not arrive; a new one does.
    if (reason === "not-loaded") this.#abandon(reason);
  }

  /** The worker is replaced at the next question; the open ones fail. */
  #abandon(reason: PreviewReason): void {
    this.#worker?.terminate();
    this.#worker = null;
    const open = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of open) reject(new PreviewError(reason));
  }
}
