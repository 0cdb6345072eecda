import { describe, expect, it } from "vitest";
import { ImageWorker } from "./client";
import { type Request, type Response, STARTED } from "./protocol";

/** A worker's outside, whose inside is the test. */
class FakeWorker {
  onmessage: ((event: { data: Response }) => void) | null = null;
  onerror: (() => void) | null = null;
  readonly asked: Request[] = [];
  isTerminated = false;

  postMessage(request: Request): void {
    this.asked.push(request);
  }

  terminate(): void {
    this.isTerminated = true;
  }

  answer(response: Response): void {
    this.onmessage?.({ data: response });
  }
}

function bench() {
  const workers: FakeWorker[] = [];
  const client = new ImageWorker(() => {
    const worker = new FakeWorker();
    workers.push(worker);
    return worker as unknown as Worker;
  });
  return { client, workers, worker: (at: number) => workers[at] as FakeWorker };
}

const FILE = new Blob();

describe("an image worker", () => {
  it("starts before anything is asked of it", () => {
    expect(bench().workers).toHaveLength(1);
  });

  it("that did not arrive is not taken for a large image, and is started again", async () => {
    const { client, workers, worker } = bench();
    const first = client.thumbnail(FILE);

    worker(0).onerror?.();
    await expect(first).rejects.toMatchObject({ reason: "not-loaded" });
    void client.thumbnail(FILE);

    expect(workers).toHaveLength(2);
    expect(worker(1).asked).toHaveLength(1);
  });

  it("that dies after it has started ran out of memory", async () => {
    const { client, worker } = bench();
    worker(0).answer({ id: STARTED, value: null });
    const asked = client.decode(FILE, 1);

    worker(0).onerror?.();

    await expect(asked).rejects.toMatchObject({ reason: "too-large" });
  });

  it("that lacks a decoder is replaced, for it would never ask for it again", async () => {
    const { client, workers, worker } = bench();
    worker(0).answer({ id: STARTED, value: null });
    const asked = client.decode(FILE, 1);

    worker(0).answer({ id: 1, failure: { reason: "not-loaded", subject: "" } });
    await expect(asked).rejects.toMatchObject({ reason: "not-loaded" });
    void client.decode(FILE, 1);

    expect(worker(0).isTerminated).toBe(true);
    expect(workers).toHaveLength(2);
  });

  it("that finds a file damaged stays", async () => {
    const { client, workers, worker } = bench();
    const asked = client.decode(FILE, 1);

    worker(0).answer({ id: 1, failure: { reason: "damaged", subject: "" } });
    await expect(asked).rejects.toMatchObject({ reason: "damaged" });
    void client.decode(FILE, 1);

    expect(workers).toHaveLength(1);
  });
});
