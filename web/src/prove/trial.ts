import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { Store } from "../app/store";
import type { FilmRecord } from "../images/types";
import { ReadingQueue } from "../reading/queue";
import { type Answer, sendImage } from "../reading/send";
import { verdictOf } from "../result/verdict";
import type { Session } from "../session/session";
import type { Incoming, IncomingFile } from "../tray/incoming";
import { type Case, UNDECIDED } from "./cases";
import { type Place, planOf } from "./plan";
import { asModels, folderLabel, type TruthTable } from "./truth";

/** Answers are fetched so far ahead of the reader, and no further: a trial may be left. */
const AHEAD = 8;
const CONCURRENCY = 2;

export type Phase = "setup" | "taking" | "reading" | "report";

/** What began a trial; kept so that it can go on. */
export interface Beginning {
  readonly started: string;
  readonly seed: number;
  readonly salt: string;
  readonly model: string;
  readonly labels: readonly string[];
}

/** A film without its file. */
export interface KeptFilm extends FilmRecord {
  /** Its true finding, as the model names it; null where nobody told. */
  readonly truth: string | null;
}

export interface Call {
  /** A finding of the model, or `UNDECIDED`. */
  readonly said: string;
  readonly ms: number;
  readonly reason?: string;
}

/** What the model said of a film. */
export interface Given {
  readonly said: string | null;
  readonly probabilities: Readonly<Record<string, number>>;
  readonly model: { readonly name: string; readonly version: string; readonly digest: string };
}

/** Where the truth came from. */
export type TruthSource = "table" | "folders" | "second" | "none";

/**
 * A blind trial of a model on a reader's own films.
 *
 * Films stay in memory; what is kept in the browser has neither pixels nor paths. Answers of the
 * model are private until the reader has called.
 */
export class Trial {
  readonly phase: Signal<Phase> = signal<Phase>("setup");
  readonly beginning: Signal<Beginning | null> = signal<Beginning | null>(null);
  /** Of files that are looked at, how many were. */
  readonly progress: Signal<{ readonly done: number; readonly found: number }> = signal({
    done: 0,
    found: 0,
  });
  readonly reader: Signal<1 | 2> = signal<1 | 2>(1);
  readonly at: Signal<number> = signal(0);
  /** Counts what changed within the maps below. */
  readonly revision: Signal<number> = signal(0);
  readonly isKept: Signal<boolean> = signal(true);
  readonly plan: ReadonlySignal<readonly Place[]> = computed(() => this.#plan());
  readonly #session: Session;
  readonly #queue: ReadingQueue<string, Answer>;
  readonly #kept = new Map<string, KeptFilm>();
  readonly #files = new Map<string, IncomingFile>();
  readonly #calls = new Map<string, Call>();
  readonly #given = new Map<string, Given>();
  #store: Store | null = null;

  constructor(session: Session) {
    this.#session = session;
    this.#queue = new ReadingQueue<string, Answer>({
      send: (sha256, abort, onProgress) => {
        const file = this.#files.get(sha256)?.file ?? new File([], "");
        const model = this.beginning.peek()?.model ?? null;
        const request = { file, model, frame: 1, explain: "none" as const };
        return sendImage(session.parts.api, request, abort, onProgress);
      },
      onState: (sha256, state) => {
        if (state.kind === "done") this.#take(sha256, givenBy(state.answer));
        if (state.kind === "failed") this.#take(sha256, { ...NOTHING, said: null });
      },
      onPause: (pause) => {
        session.pause.value = pause;
      },
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      now: Date.now,
      untilBack: () => session.server.untilBack(),
      isThere: () => session.server.look(),
      concurrency: CONCURRENCY,
    });
    session.unlocks.subscribe(() => this.#queue.unlock());
  }

  /** Take up what an earlier visit kept. */
  async resume(store: Store | null): Promise<void> {
    this.#store = store;
    this.isKept.value = store !== null;
    for (const [key, value] of (await store?.all()) ?? []) {
      const [kind, name = ""] = key.split(" ");
      if (kind === "beginning") this.beginning.value = value as Beginning;
      if (kind === "film") this.#kept.set(name, value as KeptFilm);
      if (kind === "call") this.#calls.set(name, value as Call);
      if (kind === "given") this.#given.set(name, value as Given);
    }
    this.#changed();
  }

  /** Begin, or go on with, a trial: look at films, and show the first that was not called. */
  async take(
    incoming: AsyncIterable<Incoming>,
    begin: () => Beginning,
    table: TruthTable | null,
  ): Promise<void> {
    const known = this.beginning.peek();
    const beginning = known ?? begin();
    batch(() => {
      this.beginning.value = beginning;
      this.progress.value = { done: 0, found: 0 };
      this.phase.value = "taking";
    });
    if (!known) await this.#keep("beginning", beginning);
    for await (const { files } of incoming) {
      for (const file of files) await this.#look(file, beginning, table, known !== null);
    }
    const isThere = this.#files.size > 0;
    batch(() => {
      this.#changed();
      this.phase.value = isThere ? "reading" : "setup";
      if (isThere) this.goOn();
    });
  }

  async #look(
    incoming: IncomingFile,
    beginning: Beginning,
    table: TruthTable | null,
    isResumed: boolean,
  ): Promise<void> {
    const { done, found } = this.progress.peek();
    const { salt, labels } = beginning;
    const record = await this.#session.parts.sketching.film(incoming.file, salt).catch(() => null);
    this.progress.value = { done: done + 1, found };
    if (!record || this.#files.has(record.sha256)) return;
    const told = table?.find(incoming.path, record.sha256) ?? folderLabel(incoming.path);
    const old = this.#kept.get(record.sha256);
    // A trial that has begun takes no new films: its order is settled.
    if (isResumed && !old) return;
    const truth = (told === null ? null : asModels(told, labels)) ?? old?.truth ?? null;
    const film: KeptFilm = { ...record, truth };
    this.#files.set(film.sha256, incoming);
    this.#kept.set(film.sha256, film);
    this.progress.value = { done: done + 1, found: found + 1 };
    await this.#keep(`film ${film.sha256}`, film);
  }

  /** Show the first film that was not called yet, or the report where all are. */
  goOn(): void {
    const next = this.plan.peek().findIndex((_, at) => !this.callAt(at));
    batch(() => {
      if (next < 0) this.phase.value = "report";
      else {
        this.phase.value = "reading";
        this.at.value = next;
      }
    });
    this.#fetchAhead();
  }

  /** Record a call and how long it took. What was called stays called. */
  call(said: string, ms: number): void {
    const at = this.at.peek();
    if (this.callAt(at)) return;
    this.#setCall(at, { said, ms: Math.round(ms) });
  }

  /** Say why, after the model's answer was seen. */
  giveReason(reason: string): void {
    const at = this.at.peek();
    const call = this.callAt(at);
    if (call) this.#setCall(at, { ...call, reason });
  }

  /** A second reader calls the same films in an order of his own, and is the truth from then on. */
  beginSecond(): void {
    this.reader.value = 2;
    this.goOn();
  }

  /** Forget everything, here and in the browser. */
  async erase(): Promise<void> {
    this.#queue.cancelAll();
    await this.#store?.erase();
    for (const map of [this.#kept, this.#files, this.#calls, this.#given]) map.clear();
    batch(() => {
      this.beginning.value = null;
      this.reader.value = 1;
      this.at.value = 0;
      this.phase.value = "setup";
      this.#changed();
    });
  }

  callAt(at: number, reader = this.reader.peek()): Call | null {
    return this.#calls.get(`${reader}:${at}`) ?? null;
  }

  /** The model's answer, to those alone who have called; null before, and while it is not there. */
  givenAt(at: number): Given | null {
    const place = this.plan.peek()[at];
    return place && this.callAt(at) ? (this.#given.get(place.sha256) ?? null) : null;
  }

  file(sha256: string): IncomingFile | null {
    return this.#files.get(sha256) ?? null;
  }

  get films(): readonly KeptFilm[] {
    return [...this.#kept.values()];
  }

  get filesCount(): number {
    return this.#files.size;
  }

  get callsCount(): number {
    return this.#calls.size;
  }

  /** The model that answered, as it names itself; null before it did. */
  get answeredBy(): Given["model"] | null {
    const given = [...this.#given.values()].find(({ said }) => said !== null);
    return given?.model ?? null;
  }

  truthSource(): TruthSource {
    if (this.#calls.has("2:0")) return "second";
    return this.films.some(({ truth }) => truth !== null) ? "folders" : "none";
  }

  /** Every film that the first reader has called, with what everybody said. */
  cases(): readonly Case[] {
    const said = new Map<string, { first: Call | null; again: Call | null; second: Call | null }>();
    const seen = (sha256: string) => {
      const known = said.get(sha256) ?? { first: null, again: null, second: null };
      said.set(sha256, known);
      return known;
    };
    for (const [at, { sha256, isRepeat }] of this.#planFor(1).entries()) {
      const call = this.callAt(at, 1);
      if (call) seen(sha256)[isRepeat ? "again" : "first"] = call;
    }
    for (const [at, { sha256, isRepeat }] of this.#planFor(2).entries()) {
      const call = this.callAt(at, 2);
      if (call && !isRepeat) seen(sha256).second = call;
    }
    const isSecond = this.truthSource() === "second";
    return [...said].flatMap(([sha256, { first, again, second }]) => {
      const film = this.#kept.get(sha256);
      if (!film || !first) return [];
      const given = this.#given.get(sha256);
      const other = second && second.said !== UNDECIDED ? second.said : null;
      return [
        {
          sha256,
          patient: film.patient ?? sha256,
          truth: isSecond ? other : film.truth,
          reader: first.said,
          again: again?.said ?? null,
          ms: first.ms,
          model: given?.said ?? null,
          probabilities: given?.probabilities ?? {},
        },
      ];
    });
  }

  #plan(): readonly Place[] {
    // Read, so that it is made again when films have come.
    void this.revision.value;
    return this.#planFor(this.reader.value);
  }

  #planFor(reader: 1 | 2): readonly Place[] {
    const { seed } = this.beginning.value ?? { seed: 0 };
    return planOf([...this.#kept.keys()], seed + reader);
  }

  #setCall(at: number, call: Call): void {
    const key = `${this.reader.peek()}:${at}`;
    this.#calls.set(key, call);
    this.#changed();
    void this.#keep(`call ${key}`, call);
  }

  #take(sha256: string, given: Given): void {
    this.#given.set(sha256, given);
    void this.#keep(`given ${sha256}`, given);
    this.#changed();
  }

  #fetchAhead(): void {
    const from = this.at.peek();
    const next = this.plan.peek().slice(from, from + AHEAD);
    const missing = next
      .map(({ sha256 }) => sha256)
      .filter((sha256) => !this.#given.has(sha256) && this.#files.has(sha256));
    this.#queue.add(new Set(missing));
  }

  #changed(): void {
    this.revision.value = this.revision.peek() + 1;
  }

  /** A browser that keeps no more is told once; the trial goes on in this tab. */
  async #keep(key: string, value: unknown): Promise<void> {
    try {
      await this.#store?.put(key, value);
    } catch {
      this.isKept.value = false;
    }
  }
}

const NOTHING: Omit<Given, "said"> = {
  probabilities: {},
  model: { name: "", version: "", digest: "" },
};

function givenBy({ image, model }: Answer): Given {
  const verdict = verdictOf(image);
  const { name, version, digest } = model;
  return {
    said: verdict.kind === "refer" ? UNDECIDED : verdict.label,
    probabilities: Object.fromEntries(
      image.findings.map(({ label, probability }) => [label, probability]),
    ),
    model: { name, version: String(version), digest },
  };
}
