import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { Api } from "../api/client";
import type { ModelDescription, SeriesAnswer } from "../api/types";
import type { ImageWorker } from "../images/client";
import type { Outcome, Problem } from "../reading/outcome";
import { type Pause, ReadingQueue } from "../reading/queue";
import { type Answer, refused, sendable, sendImage, sendSeries } from "../reading/send";
import type { IncomingFile } from "../tray/incoming";
import { Feedback } from "./feedback";
import { ServerWatch } from "./server";
import {
  type AskedHeatmap,
  answerOf,
  createStudy,
  heatmapKey,
  type SeriesRead,
  type Study,
} from "./study";
import { Thumbnails } from "./thumbnails";
import { arranged, counted, mayPass, type Order, seriesOf } from "./worklist";

/** A few at a time: enough to keep the service's batcher busy, few enough to cancel quickly. */
const CONCURRENCY = 4;
/** One look in vain may be a busy line; after two the service hangs or is gone. */
const LOOKS_IN_VAIN = 2;

export interface SessionParts {
  readonly api: Api;
  /** Decodes what the reader looks at. */
  readonly viewing: ImageWorker;
  /** Decodes thumbnails, so that hundreds of them never hold up the viewer. */
  readonly sketching: ImageWorker;
}

/** All that the page knows. Nothing of it outlives the tab, but results that a reader has kept. */
export class Session {
  readonly studies: Signal<readonly Study[]> = signal([]);
  readonly selected: Signal<Study | null> = signal<Study | null>(null);
  /** An image that stays beside the selected one, as a prior. */
  readonly pinned: Signal<Study | null> = signal<Study | null>(null);
  readonly filter: Signal<string | null> = signal<string | null>(null);
  readonly order: Signal<Order> = signal<Order>("added");
  /** What a print shows: the open image, or the list of all. */
  readonly printed: Signal<"image" | "list"> = signal<"image" | "list">("image");
  /** The rows of the tray: filtered and ordered. */
  readonly shown: ReadonlySignal<readonly Study[]> = computed(() =>
    arranged(this.studies.value, this.filter.value, this.order.value, this.series.value),
  );
  readonly counts = computed(() => counted(this.studies.value));
  /** What "Remove all" has removed and can bring back. */
  readonly removed: Signal<readonly Study[]> = signal<readonly Study[]>([]);
  /** The images of each DICOM series that has several, in their order. */
  readonly series: ReadonlySignal<ReadonlyMap<string, readonly Study[]>> = computed(() =>
    seriesOf(this.studies.value),
  );
  readonly #seriesAnswers: Signal<readonly SeriesRead[]> = signal<readonly SeriesRead[]>([]);
  /** Series that were read as one and whose slices are here, with answers of the same model. */
  readonly seriesRead: ReadonlySignal<readonly SeriesRead[]> = computed(() => {
    const here = new Set(this.studies.value);
    return this.#seriesAnswers.value.filter(({ slices, answer }) =>
      slices.every(
        (slice) => here.has(slice) && answerOf(slice)?.model.digest === answer.model.digest,
      ),
    );
  });
  readonly models: Signal<readonly ModelDescription[] | null> = signal(null);
  readonly modelChoice: Signal<string | null> = signal<string | null>(null);
  /** The service's model for an image that names no modality. */
  readonly defaultModel: Signal<string | null> = signal<string | null>(null);
  readonly pause: Signal<Pause | null> = signal<Pause | null>(null);
  /** Why the models could not be loaded, where they could not. */
  readonly modelsProblem: Signal<Problem | null> = signal<Problem | null>(null);
  /** What just happened, for a moment. */
  readonly notice: Signal<string> = signal("");
  readonly doneCount: ReadonlySignal<number> = computed(() => this.#count("done"));
  readonly failedCount: ReadonlySignal<number> = computed(() => this.#count("failed"));
  /** Of those that failed, the ones that may go better the next time. */
  readonly retryCount: ReadonlySignal<number> = computed(
    () => this.studies.value.filter((study) => this.#mayPass(study)).length,
  );
  readonly openCount: ReadonlySignal<number> = computed(
    () => this.#count("waiting") + this.#count("sending") + this.#count("reading"),
  );
  /** Counts how often a key was given, for whoever else waits for one. */
  readonly unlocks: Signal<number> = signal(0);
  readonly server: ServerWatch;
  readonly feedback: Feedback;
  readonly parts: SessionParts;
  readonly thumbnails: Thumbnails;
  readonly #queue: ReadingQueue<Study, Answer>;
  /** Two tabs that keep their results never take the same one. */
  #nextId = Date.now() * 1000;

  constructor(parts: SessionParts) {
    this.parts = parts;
    this.server = new ServerWatch(parts.api);
    this.feedback = new Feedback(parts.api);
    this.thumbnails = new Thumbnails(parts.sketching);
    this.#queue = new ReadingQueue<Study, Answer>({
      send: (study, signal, onProgress) => this.#send(study, signal, onProgress),
      onState: (study, state) => {
        study.state.value = state;
        if (state.kind === "done") this.#settle(study, state.answer);
      },
      onPause: (pause) => {
        this.pause.value = pause;
      },
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      now: Date.now,
      untilBack: () => this.server.untilBack(),
      isThere: () => this.server.look(),
      concurrency: CONCURRENCY,
    });
  }

  start(): void {
    this.server.start();
    // Models are asked for when the service is first seen ready, and again after each absence.
    let wasReady = false;
    this.server.state.subscribe((state) => {
      const isReady = state.kind === "there" && state.health.status === "ready";
      if (isReady && !wasReady) void this.loadModels();
      wasReady = isReady;
      // A connection to a service that hangs would stay open for ever.
      if (state.kind === "away" && state.looks >= LOOKS_IN_VAIN) this.#queue.interrupt();
    });
  }

  /** The service's address for DICOM reports; null where none are made. */
  get gateway(): string | null {
    const state = this.server.state.value;
    return state.kind === "there" ? state.health.gateway : null;
  }

  /** Whether the service has a trail of what was answered, in which readers may have a word. */
  get hasTrail(): boolean {
    const state = this.server.state.peek();
    return state.kind === "there" && state.health.feedback;
  }

  async loadModels(): Promise<void> {
    if (this.hasTrail) void this.feedback.look();
    this.modelsProblem.value = null;
    try {
      const { data, error, response } = await this.parts.api.GET("/models");
      if (data) {
        this.models.value = data.models;
        this.defaultModel.value = data.default;
      } else this.modelsProblem.value = modelsProblemOf(error, response);
    } catch {
      // The watch notices that the service is away, and this runs again when it is back.
      this.modelsProblem.value = UNREACHED;
    }
  }

  /** Add files, and look at the first where nothing is looked at. */
  add(files: readonly IncomingFile[]): readonly Study[] {
    const added = files.map((incoming) => createStudy(this.#nextId++, incoming));
    batch(() => {
      this.studies.value = [...this.studies.value, ...added];
      const [first] = added;
      if (first && this.selected.value === null) this.select(first);
    });
    this.#queue.add(added);
    for (const study of added) void this.readFacts(study);
    return added;
  }

  /** Add results that an earlier visit kept. */
  restore(studies: readonly Study[]): void {
    batch(() => {
      this.studies.value = [...studies, ...this.studies.value];
      this.selected.value ??= studies[0] ?? null;
    });
  }

  /** Read what a DICOM file says of itself, once. */
  async readFacts(study: Study): Promise<void> {
    if (study.format !== "dicom" || !study.file || study.facts.peek()) return;
    // A damaged file has no facts; the viewer says that it is damaged.
    const facts = await this.parts.sketching.facts(study.file).catch(() => null);
    study.facts.value ??= facts;
  }

  /** The slices that an image is one of; empty where it is none. */
  slicesOf(study: Study): readonly Study[] {
    const facts = study.facts.value;
    const isSlice = facts !== null && CROSS_SECTIONAL.has(facts.modality ?? "");
    return (isSlice && facts.seriesUid && this.series.value.get(facts.seriesUid)) || [];
  }

  /** Have slices read as the series that they are, by the model of one of them. */
  async readSeries(
    slices: readonly Study[],
    { model }: Answer,
    signal: AbortSignal,
  ): Promise<Outcome<SeriesAnswer>> {
    const files = slices.map(({ file }) => file ?? NO_FILE);
    const outcome = await sendSeries(this.parts.api, files, model, signal);
    if (outcome.kind === "answer") {
      const taken = new Set(sendable(files));
      const sent = slices.filter((_, at) => taken.has(files[at] ?? NO_FILE));
      const read: SeriesRead = { slices, sent, answer: outcome.answer };
      this.#seriesAnswers.value = [...this.#seriesAnswers.value, read];
    }
    return outcome;
  }

  /** The answer for a series of exactly these slices, by the model that read them; null before. */
  seriesAnswerOf(slices: readonly Study[]): SeriesAnswer | null {
    const read = this.seriesRead.value.find(
      (one) => one.slices.length === slices.length && one.slices[0] === slices[0],
    );
    return read?.answer ?? null;
  }

  select(study: Study): void {
    this.selected.value = study;
    this.#queue.prefer(study);
  }

  /** Select the study before (-1) or after (+1) the selected one. */
  step(by: -1 | 1): void {
    const all = this.shown.value;
    const at = this.selected.value ? all.indexOf(this.selected.value) : -1;
    const next = all[Math.min(all.length - 1, Math.max(0, at + by))];
    if (next) this.select(next);
  }

  cancel(study: Study): void {
    this.#queue.cancel(study);
  }

  cancelAll(): void {
    this.#queue.cancelAll();
  }

  /** Whether to try an image again may help; a change of model may make it so. */
  canRetry(study: Study): boolean {
    const isCancelled = study.file !== null && study.state.value.kind === "cancelled";
    return isCancelled || this.#mayPass(study);
  }

  retry(studies: Iterable<Study>): void {
    this.#queue.add(studies);
  }

  /** Try again what may go better the next time. */
  retryFailed(): void {
    this.retry(this.studies.value.filter((study) => this.#mayPass(study)));
  }

  /** There is a key now. */
  unlock(): void {
    this.unlocks.value++;
    this.#queue.unlock();
    this.retryFailed();
  }

  remove(study: Study): void {
    this.#queue.cancel(study);
    this.thumbnails.release(study);
    const all = this.studies.value;
    const at = all.indexOf(study);
    batch(() => {
      if (this.pinned.value === study) this.pinned.value = null;
      this.studies.value = all.filter((other) => other !== study);
      if (this.selected.value === study) this.selected.value = all[at + 1] ?? all[at - 1] ?? null;
    });
  }

  /** Remove all images; `bringBack` undoes it until the next time. */
  clear(): void {
    this.#queue.cancelAll();
    for (const study of this.removed.value) this.thumbnails.release(study);
    batch(() => {
      this.removed.value = this.studies.value;
      this.pinned.value = null;
      this.studies.value = [];
      this.filter.value = null;
      this.selected.value = null;
    });
  }

  /** Undo "Remove all". What was still under way is sent again. */
  bringBack(): void {
    const back = this.removed.value;
    batch(() => {
      this.removed.value = [];
      this.studies.value = [...back, ...this.studies.value];
      this.selected.value ??= back[0] ?? null;
    });
    this.#queue.add(back.filter(({ state }) => state.value.kind === "cancelled"));
  }

  /** Choose a model; the selected study is read with it, the others when asked. */
  chooseModel(name: string | null): void {
    this.modelChoice.value = name;
    if (this.selected.value) this.selected.value.model.value = null;
    if (this.selected.value) this.#read(this.selected.value);
  }

  readAllWithChoice(): void {
    for (const study of this.studies.value) {
      study.model.value = null;
      this.#read(study);
    }
  }

  /** Read one image with a model of its own. */
  readWith(study: Study, model: string): void {
    study.model.value = model;
    this.#read(study);
  }

  /** Ask for the heatmap of a finding, of the very model and frame that answered. */
  async explain(study: Study, answer: Answer, label: string): Promise<void> {
    const key = heatmapKey(answer, label);
    const known = study.heatmaps.peek().get(key);
    if (known !== undefined && known !== "absent") return;
    const put = (heatmap: AskedHeatmap) => {
      study.heatmaps.value = new Map(study.heatmaps.peek()).set(key, heatmap);
    };
    put("coming");
    const { model, asked } = answer;
    const outcome = await sendImage(
      this.parts.api,
      {
        file: study.file ?? NO_FILE,
        model: model.name,
        version: model.version,
        frame: asked.frame,
        explain: label,
      },
      new AbortController().signal,
      () => {},
    );
    const heatmap = outcome.kind === "answer" ? outcome.answer.heatmap : null;
    put(heatmap?.label === label ? heatmap : "absent");
  }

  readFrame(study: Study, frame: number): void {
    study.frame.value = frame;
    this.#read(study);
  }

  /** Whether a study's answer comes from another model than the chosen one. */
  isStale(study: Study): boolean {
    const state = study.state.value;
    const isDone = study.file !== null && state.kind === "done";
    return isDone && state.answer.asked.model !== this.#modelFor(study);
  }

  #read(study: Study): void {
    const known = study.answers.get(this.#key(study));
    if (!known && !study.file) return;
    this.#queue.cancel(study);
    if (known) study.state.value = { kind: "done", answer: known };
    else this.#queue.add([study]);
    this.#queue.prefer(study);
  }

  async #send(
    study: Study,
    signal: AbortSignal,
    onProgress: (share: number) => void,
  ): Promise<Outcome<Answer>> {
    const model = this.#modelFor(study);
    const request = { file: study.file ?? NO_FILE, model, frame: study.frame.value };
    const outcome = await sendImage(this.parts.api, request, signal, onProgress);
    if (outcome.kind !== "problem") return outcome;
    return { kind: "problem", problem: { ...outcome.problem, askedModel: model } };
  }

  /** Whether a study failed for what may be gone the next time. */
  #mayPass(study: Study): boolean {
    const state = study.state.value;
    if (!study.file || state.kind !== "failed") return false;
    return mayPass(state.problem, this.#modelFor(study));
  }

  #modelFor(study: Study): string | null {
    return study.model.value ?? this.modelChoice.value;
  }

  #key(study: Study): string {
    return answerKey(this.#modelFor(study), study.frame.value);
  }

  #settle(study: Study, answer: Answer): void {
    study.answers.set(answerKey(answer.asked.model, answer.asked.frame), answer);
    // The image of a kept result has come again.
    const kept = this.studies.value.find(
      (other) => !other.file && answerOf(other)?.image.sha256 === answer.image.sha256,
    );
    if (kept) this.remove(kept);
  }

  #count(kind: string): number {
    return this.studies.value.filter(({ state }) => state.value.kind === kind).length;
  }
}

/** Never sent: what has no file is not read again. */
const NO_FILE = new Blob();

/** DICOM modalities whose series is a stack of slices. */
const CROSS_SECTIONAL: ReadonlySet<string> = new Set(["CT", "MR"]);

const UNREACHED: Problem = { type: "page:unreached", status: 0 };

function modelsProblemOf(error: unknown, response: Response): Problem {
  const outcome = refused(error, response);
  return outcome.kind === "problem" ? outcome.problem : UNREACHED;
}

const answerKey = (model: string | null, frame: number): string => `${model ?? ""} ${frame}`;
