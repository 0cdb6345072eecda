import { signal } from "@preact/signals";
import { describe, expect, it } from "vitest";
import { completed } from "../images/build";
import { type DecodedImage, PreviewError } from "../images/types";
import type { ServerState } from "../session/server";
import { createStudy, type Study } from "../session/study";
import { ViewerModel } from "./model";
import { type Desk, Opening } from "./opening";

interface Decoding {
  readonly frame: number;
  readonly file: Blob;
  readonly resolve: (image: DecodedImage) => void;
  readonly reject: (error: PreviewError) => void;
}

const image = (frames = 1): DecodedImage =>
  completed({ width: 1, height: 1, samples: 1, bits: 8, pixels: Uint8Array.of(7), frames });

const study = (id: number): Study =>
  createStudy(id, { file: new File([], `${id}.png`), path: "", format: "png" });

/** The page's parts around the viewer, with decoding in the test's hands. */
function bench() {
  const asked: Decoding[] = [];
  const decode = (file: Blob, frame: number) =>
    new Promise<DecodedImage>((resolve, reject) => asked.push({ file, frame, resolve, reject }));
  const selected = signal<Study | null>(null);
  const state = signal<ServerState>({ kind: "away", looks: 1 });
  const desk = {
    selected,
    server: { state },
    parts: { viewing: { decode } },
    readFacts: async () => {},
    slicesOf: (): readonly Study[] => [],
  };
  const viewer = new ViewerModel(signal(0.5));
  new Opening(desk as unknown as Desk, viewer).follow();
  const turn = () => new Promise((resolve) => setTimeout(resolve));
  return { asked, selected, state, viewer, turn, at: (index: number) => asked[index] as Decoding };
}

describe("stepping through images", () => {
  it("decodes one at a time, and of those that are passed none", async () => {
    const { asked, selected, at, turn, viewer } = bench();
    const studies = [1, 2, 3, 4].map(study);
    for (const each of studies) selected.value = each;

    expect(asked).toHaveLength(1);
    at(0).resolve(image());
    await turn();
    at(1).resolve(image());
    await turn();

    expect(asked.map(({ file }) => file)).toEqual([studies[0]?.file, studies[3]?.file]);
    expect(viewer.shown.value.kind).toBe("picture");
  });

  it("shows nothing of an image that is not looked at any more", async () => {
    const { selected, at, turn, viewer } = bench();
    selected.value = study(1);
    selected.value = study(2);

    at(0).resolve(image());
    await turn();

    expect(viewer.shown.value.kind).toBe("opening");
  });
});

it("a damaged frame leaves the way to the others open", async () => {
  const { selected, at, turn, viewer } = bench();
  const series = study(1);
  selected.value = series;
  at(0).resolve(image(5));
  await turn();

  series.frame.value = 2;
  at(1).reject(new PreviewError("damaged"));
  await turn();

  expect(viewer.shown.value).toMatchObject({ kind: "impossible", error: { reason: "damaged" } });
  expect(viewer.frames.value).toBe(5);
});

describe("what could not be loaded", () => {
  it("is opened again when the service is back", async () => {
    const { asked, selected, state, at, turn, viewer } = bench();
    selected.value = study(1);
    at(0).reject(new PreviewError("not-loaded"));
    await turn();
    expect(viewer.shown.value.kind).toBe("impossible");

    state.value = { kind: "there", health: {} as never };
    at(1).resolve(image());
    await turn();

    expect(asked).toHaveLength(2);
    expect(viewer.shown.value.kind).toBe("picture");
  });

  it("is not confused with what is damaged", async () => {
    const { asked, selected, state, at, turn } = bench();
    selected.value = study(1);
    at(0).reject(new PreviewError("damaged"));
    await turn();

    state.value = { kind: "there", health: {} as never };

    expect(asked).toHaveLength(1);
  });

  it("is opened again when the file is selected again", async () => {
    const { asked, selected, at, turn } = bench();
    const first = study(1);
    selected.value = first;
    at(0).reject(new PreviewError("not-loaded"));
    await turn();

    selected.value = study(2);
    at(1).resolve(image());
    await turn();
    selected.value = first;

    expect(asked).toHaveLength(3);
  });
});
