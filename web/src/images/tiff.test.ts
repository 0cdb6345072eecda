import { describe, expect, it } from "vitest";
import { decodeTiff } from "./tiff";

type Entry = readonly [tag: number, type: 3 | 4, value: number];

/** A little-endian TIFF of one strip: 3 by 2 pixels, with tags of its own. */
function tiff(samples: Uint8Array | Uint16Array, extra: Readonly<Record<number, number>>) {
  const bits = samples.BYTES_PER_ELEMENT * 8;
  const tags: Record<number, number> = {
    256: 3,
    257: 2,
    258: bits,
    259: 1,
    262: 1,
    273: 8,
    277: 1,
    278: 2,
    279: samples.byteLength,
    ...extra,
  };
  const entries = Object.entries(tags).map(([tag, value]): Entry => [Number(tag), 3, value]);
  const directory = 8 + samples.byteLength;
  const view = new DataView(new ArrayBuffer(directory + 2 + entries.length * 12 + 4));
  view.setUint32(0, 0x002a4949, true);
  view.setUint32(4, directory, true);
  samples.forEach((value, index) => {
    if (bits === 8) view.setUint8(8 + index, value);
    else view.setUint16(8 + 2 * index, value, true);
  });
  view.setUint16(directory, entries.length, true);
  entries.forEach(([tag, type, value], index) => {
    const at = directory + 2 + index * 12;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, type, true);
    view.setUint32(at + 4, 1, true);
    view.setUint16(at + 8, value, true);
  });
  return new Uint8Array(view.buffer);
}

const SIX = Uint8Array.of(1, 2, 3, 4, 5, 6);
const opened = (extra: Readonly<Record<number, number>>) => decodeTiff(tiff(SIX, extra), 1);

describe("a TIFF", () => {
  it("is drawn as it is stored where black is zero", () => {
    expect([...opened({}).pixels]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("is inverted once where white is zero", () => {
    const image = opened({ 262: 0 });

    expect([...image.pixels]).toEqual([254, 253, 252, 251, 250, 249]);
    expect(image.inverted).toBe(false);
  });

  it("spreads its 12 bits over the whole range, also where white is zero", () => {
    const deep = Uint16Array.of(0, 1, 2, 3, 4, 4095);
    const full = (extra: Readonly<Record<number, number>>) =>
      decodeTiff(tiff(deep, extra), 1).presets.find(({ name }) => name === "full");

    expect(full({})).toMatchObject({ centre: 2048, width: 4096 });
    expect(full({ 262: 0 })).toMatchObject({ centre: 63_488, width: 4096 });
  });

  it("is turned upright as its orientation asks", () => {
    const image = opened({ 274: 6 });

    expect([image.width, image.height]).toEqual([2, 3]);
    expect([...image.pixels]).toEqual([4, 1, 5, 2, 6, 3]);
  });

  it.each([
    ["a compression without a decoder", { 259: 32_773 }],
    ["JPEG compression", { 259: 7 }],
    ["an unknown colour space", { 262: 8 }],
  ])("of %s has no preview, and is not called damaged", (_, extra) => {
    expect(() => opened(extra)).toThrow("encoding TIFF");
  });

  it("of more than 4 GiB's kind has no preview", () => {
    expect(() => decodeTiff(Uint8Array.of(0x49, 0x49, 0x2b, 0, 8, 0, 0, 0), 1)).toThrow(
      "encoding BigTIFF",
    );
  });

  it("is damaged where it is cut off", () => {
    expect(() => decodeTiff(tiff(SIX, {}).subarray(0, 40), 1)).toThrow("damaged");
  });
});
