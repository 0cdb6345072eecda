import type { Request, Response } from "./protocol";
import { type DecodedImage, type DicomFacts, type Patient, PreviewError } from "./types";

type Ask = Request extends infer R ? (R extends Request ? Omit<R, "id"> : never) : never;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: PreviewError) => void;
}

/** Decodes images in a worker, so that the page stays smooth. The worker starts at the first use. */
export class ImageWorker {
  #worker: Worker | null = null;
  #next = 1;
  readonly #pending = new Map<number, Pending>();

  decode(file: Blob, frame: number): Promise<DecodedImage> {
    return this.#ask({ kind: "decode", file, frame }) as Promise<DecodedImage>;
  }

  thumbnail(file: Blob): Promise<Blob> {
    return this.#ask({ kind: "thumbnail", file }) as Promise<Blob>;
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
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<Response>) => this.#settle(data);
    worker.onerror = () => this.#abandon();
    return worker;
  }

  #settle(response: Response): void {
    const pending = this.#pending.get(response.id);
    this.#pending.delete(response.id);
    if ("value" in response) pending?.resolve(response.value);
    else pending?.reject(new PreviewError(response.failure.reason, response.failure.subject));
  }

  /** A worker that died (out of memory) is replaced; its open questions fail. */
  #abandon(): void {
    this.#worker?.terminate();
    this.#worker = null;
    for (const { reject } of this.#pending.values()) reject(new PreviewError("too-large"));
    this.#pending.clear();
  }
}
