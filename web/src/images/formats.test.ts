import { encode } from "fast-png";
import { describe, expect, it } from "vitest";
import { heatAlpha, heatColour } from "../viewer/heat";
import { decodeText } from "./dicom/charset";
import { decodeRle } from "./dicom/rle";
import { upright } from "./orientation";
import { decodeDeepPng } from "./png";
import { isDeepPng, SNIFF_BYTES, sniff, sniffFile } from "./sniff";

const ascii = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

describe("a format", () => {
  const dicom = new Uint8Array(SNIFF_BYTES);
  dicom.set(ascii("DICM"), 128);

  it.each([
    ["jpeg", Uint8Array.of(0xff, 0xd8, 0xff, 0xe0)],
    ["png", Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)],
    ["tiff", Uint8Array.of(0x49, 0x49, 0x2a, 0x00)],
    ["tiff", Uint8Array.of(0x4d, 0x4d, 0x00, 0x2a)],
    ["tiff", Uint8Array.of(0x49, 0x49, 0x2b, 0x00)],
    ["tiff", Uint8Array.of(0x4d, 0x4d, 0x00, 0x2b)],
    ["dicom", Uint8Array.of(0x08, 0x00, 0x05, 0x00, ...ascii("CS"), 10, 0)],
    ["dicom", Uint8Array.of(0x02, 0x00, 0x00, 0x00, ...ascii("UL"), 4, 0)],
    ["dicom", Uint8Array.of(0x00, 0x08, 0x00, 0x05, ...ascii("CS"), 0, 10)],
    ["dicom", Uint8Array.of(0x08, 0x00, 0x05, 0x00, 2, 0, 0, 0, 0x41, 0x42)],
    ["dicom", Uint8Array.of(0x08, 0x00, 0x05, 0x00, 0xff, 0xff, 0xff, 0xff, 0)],
    [null, Uint8Array.of(0x08, 0x00, 0x05, 0x00, 9, 0, 0, 0, 0x41, 0x42)],
    [null, Uint8Array.of(0x00, 0x08, 0x00, 0x05, 2, 0, 0, 0, 0x41, 0x42)],
    [null, Uint8Array.of(0x08, 0x00, 0x05)],
    ["dicom", dicom],
    ["dicom", ascii("DICM")],
    [null, ascii("GIF89a")],
    [null, new Uint8Array()],
  ])("%s is told by the content", (format, bytes) => {
    expect(sniff(bytes)).toBe(format);
  });

  it("of a bare data set is told by its start and the length of the file", async () => {
    const start = Uint8Array.of(0x08, 0x00, 0x05, 0x00, 200, 0, 0, 0);
    const rest = new Uint8Array(200);

    expect(await sniffFile(new Blob([start, rest]))).toBe("dicom");
    expect(await sniffFile(new Blob([start, rest.subarray(1)]))).toBeNull();
  });
});

describe("a 16-bit PNG", () => {
  const deep = (data: number[], channels: number) =>
    encode({ width: 2, height: 1, depth: 16, channels, data: Uint16Array.from(data) });

  it("keeps every bit", () => {
    const file = deep([40_000, 40_001], 1);

    expect(isDeepPng(file)).toBe(true);
    expect([...decodeDeepPng(file).pixels]).toEqual([40_000, 40_001]);
  });

  it("has the depth of nearly all of its samples", () => {
    const whole = (...hot: number[]) => {
      const data = Uint16Array.from([...Array(2000).fill(4000), ...hot]);
      const file = encode({ width: data.length, height: 1, depth: 16, channels: 1, data });
      return decodeDeepPng(file).presets.find(({ name }) => name === "full")?.width;
    };

    expect(whole(65_535, 65_535)).toBe(4096);
    expect(whole(65_535, 65_535, 65_535)).toBe(65_536);
  });

  it("is black where it is transparent", () => {
    const file = deep([40_000, 65_535, 40_000, 0], 2);

    expect([...decodeDeepPng(file).pixels]).toEqual([40_000, 0]);
  });

  it("is damaged where it is cut off", () => {
    const file = deep([1, 2], 1).slice(0, 45);

    expect(() => decodeDeepPng(file)).toThrow("damaged");
  });
});

describe("RLE", () => {
  const frame = (...segments: number[][]) => {
    const header = new DataView(new ArrayBuffer(64));
    header.setUint32(0, segments.length, true);
    let offset = 64;
    segments.forEach((segment, index) => {
      header.setUint32(4 + 4 * index, offset, true);
      offset += segment.length;
    });
    return Uint8Array.from([...new Uint8Array(header.buffer), ...segments.flat()]);
  };

  it("puts the most significant bytes, which come first, behind the others", () => {
    // Runs of PackBits: one byte three times, and three bytes as they stand.
    const coded = frame([0xfe, 0x01], [0x02, 0x0a, 0x0b, 0x0c]);

    expect([...decodeRle(coded, 3, 1, 2)]).toEqual([0x0a, 1, 0x0b, 1, 0x0c, 1]);
  });

  it("interleaves the planes of a colour image", () => {
    const coded = frame([0x01, 1, 2], [0x01, 3, 4], [0x01, 5, 6]);

    expect([...decodeRle(coded, 2, 3, 1)]).toEqual([1, 3, 5, 2, 4, 6]);
  });

  it("is damaged where a segment is missing", () => {
    expect(() => decodeRle(frame([0x00, 1]), 1, 1, 2)).toThrow("damaged");
  });
});

describe("a name", () => {
  it("is read in the character set that the file names", () => {
    expect(decodeText(Uint8Array.of(0xc4, 0xe4), "ISO_IR 144")).toBe("Фф");
    expect(decodeText(new TextEncoder().encode("Łuk "), "ISO_IR 192")).toBe("Łuk");
    expect(decodeText(Uint8Array.of(0xe9, 0x00), "")).toBe("é");
  });

  // The examples of PS3.5 H.3.1 (Japanese), I.2 (Korean), and a Russian one.
  it.each([
    [
      "Yamada^Tarou=山田^太郎",
      "\\ISO 2022 IR 87",
      "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
    ],
    ["Hong=洪^길", "\\ISO 2022 IR 149", "Hong=\x1b$)C\xfb\xf3^\x1b$)C\xb1\xe6"],
    ["Фф^é", "ISO 2022 IR 100\\ISO 2022 IR 144", "\x1b-L\xc4\xe4^\xe9"],
    ["山", "ISO 2022 IR 87", "\x1b$B;3\x1b(B"],
  ])("%s is read through its escape sequences", (name, characterSet, bytes) => {
    expect(decodeText(ascii(bytes), characterSet)).toBe(name);
  });

  it.each([
    ["\x1b$(DAB^", "\\ISO 2022 IR 159", "\ufffd\ufffd^"],
    ["\x1b%!ab=", "\\ISO 2022 IR 6", "\ufffd\ufffd\ufffd\ufffd="],
    ["Ab\xe9", "ISO_IR 999", "Ab\ufffd"],
  ])("is marked, not guessed, where %j is not known", (bytes, characterSet, name) => {
    expect(decodeText(ascii(bytes), characterSet)).toBe(name);
  });
});

describe("orientation", () => {
  // Two rows of three pixels: abc above def.
  const plane = {
    width: 3,
    height: 2,
    samples: 1 as const,
    pixels: Uint8Array.from(ascii("abcdef")),
  };
  const shown = (orientation: number) =>
    String.fromCharCode(...(upright(plane, orientation).pixels as Uint8Array));

  it.each([
    [1, "abcdef"],
    [2, "cbafed"],
    [3, "fedcba"],
    [4, "defabc"],
    [5, "adbecf"],
    [6, "daebfc"],
    [7, "fcebda"],
    [8, "cfbead"],
  ])("%d is undone", (orientation, expected) => {
    expect(shown(orientation)).toBe(expected);
  });

  it("swaps the sides where it turns", () => {
    expect(upright(plane, 6)).toMatchObject({ width: 2, height: 3 });
  });
});

describe("the heatmap's colours", () => {
  const steps = Array.from({ length: 101 }, (_, index) => index / 100);
  const luminance = ([red, green, blue]: readonly number[]) =>
    0.2126 * (red ?? 0) + 0.7152 * (green ?? 0) + 0.0722 * (blue ?? 0);

  it("grow brighter with the strength, so that they work without colour vision", () => {
    const shown = steps.map((strength) => luminance(heatColour(strength)));

    expect(shown).toEqual([...shown].sort((a, b) => a - b));
  });

  it("leave the radiograph alone where there is nothing, and fade in without an edge", () => {
    const opacities = steps.map(heatAlpha);
    const jumps = opacities.slice(1).map((opacity, index) => opacity - (opacities[index] ?? 0));

    expect(opacities[0]).toBe(0);
    expect(opacities.at(-1)).toBe(255);
    expect(Math.max(...jumps)).toBeLessThan(8);
  });
});
