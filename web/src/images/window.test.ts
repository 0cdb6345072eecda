import { describe, expect, it } from "vitest";
import { completed } from "./build";
import type { DecodedImage, Padding, Samples } from "./types";
import { extent, halved, paint, percentileWindow, tableWindow, windowed } from "./window";

const image = (parts: Partial<DecodedImage> = {}): DecodedImage => ({
  ...completed({
    width: 2,
    height: 2,
    samples: 1,
    bits: 12,
    pixels: Uint16Array.from([0, 1000, 2000, 4095]),
  }),
  ...parts,
});

const whole = ({ width, height }: DecodedImage) => ({ x: 0, y: 0, width, height });

const grays = (of: DecodedImage, window = { centre: 2048, width: 4096 }, invert = false) => {
  const rgba = new Uint8ClampedArray((of.pixels.length / of.samples) * 4);
  paint(rgba, of.pixels, of.width, whole(of), of, { window, invert });
  return [...rgba].filter((_, index) => index % 4 === 0);
};

describe("a window", () => {
  // Computed from the formula of PS3.3 C.11.2.1.2.1 for centre 2048 and width 4096.
  it.each([
    [0, 0],
    [2047.5, 127.5],
    [4095, 255],
    [-5, 0],
    [5000, 255],
  ])("maps %d to %d, as the Standard's linear function does", (value, gray) => {
    expect(windowed(value, { centre: 2048, width: 4096 })).toBeCloseTo(gray, 9);
  });

  it("is a step where its width is one", () => {
    const step = (value: number) => windowed(value, { centre: 10, width: 1 });

    expect([9, 9.5, 10].map(step)).toEqual([0, 0, 255]);
  });

  it("is half gray at its centre, whichever function it has", () => {
    const window = { centre: 40, width: 400 };

    expect(windowed(40, { ...window, curve: "SIGMOID" })).toBeCloseTo(127.5, 9);
    expect(windowed(40, { ...window, curve: "LINEAR_EXACT" })).toBeCloseTo(127.5, 9);
  });

  it("never makes a brighter value darker", () => {
    const values = Array.from({ length: 500 }, (_, index) => index * 10 - 500);

    for (const curve of ["LINEAR", "LINEAR_EXACT", "SIGMOID"] as const) {
      const shown = values.map((value) => windowed(value, { centre: 1000, width: 700, curve }));
      expect(shown).toEqual([...shown].sort((a, b) => a - b));
    }
  });
});

describe("painting", () => {
  it("shows MONOCHROME1 inverted, and inverts it once more when asked", () => {
    const plain = grays(image());
    const negative = image({ inverted: true });

    expect(grays(negative)).toEqual(plain.map((gray) => 255 - gray));
    expect(grays(negative, undefined, true)).toEqual(plain);
  });

  it("applies slope and intercept before the window", () => {
    const hounsfield = completed({
      width: 3,
      height: 1,
      samples: 1,
      bits: 16,
      pixels: Int16Array.from([0, 1024, 2048]),
      slope: 1,
      intercept: -1024,
    });

    expect(hounsfield.range).toEqual([-1024, 1024]);
    expect(grays(hounsfield, { centre: 0, width: 2048 })).toEqual([0, 128, 255]);
  });

  it("handles a falling slope", () => {
    const falling = completed({
      width: 2,
      height: 1,
      samples: 1,
      bits: 12,
      pixels: Uint16Array.from([0, 4095]),
      slope: -1,
      intercept: 4095,
    });

    expect(grays(falling)).toEqual([255, 0]);
  });

  it("gives floats and integers the same gray", () => {
    const floats = image({ pixels: Float32Array.from(image().pixels) });

    expect(grays(floats)).toEqual(grays(image()));
  });

  it("paints the asked-for region alone", () => {
    const plain = image();
    const rgba = new Uint8ClampedArray(2 * 4);
    const region = { x: 1, y: 0, width: 1, height: 2 };

    paint(rgba, plain.pixels, 2, region, plain, {
      window: { centre: 2048, width: 4096 },
      invert: false,
    });

    const [, upper, , lower] = grays(plain);
    expect([rgba[0], rgba[4]]).toEqual([upper, lower]);
  });

  it("keeps the three colours apart", () => {
    const colour = completed({
      width: 1,
      height: 1,
      samples: 3,
      bits: 8,
      pixels: Uint8Array.from([10, 120, 240]),
    });
    const rgba = new Uint8ClampedArray(4);

    const rendering = { window: { centre: 128, width: 256 }, invert: false };
    paint(rgba, colour.pixels, 1, whole(colour), colour, rendering);

    expect([...rgba]).toEqual([10, 120, 240, 255]);
  });
});

describe("the pyramid", () => {
  it("averages four pixels at full depth", () => {
    const half = halved(Uint16Array.from([1000, 1001, 1002, 1003]), 2, 2, 1);

    expect([...half]).toEqual([1002]);
  });

  it("leaves out an odd last row and column", () => {
    const half = halved(
      Uint8Array.from({ length: 15 }, () => 9),
      5,
      3,
      1,
    );

    expect([...half]).toEqual([9, 9]);
  });

  it("averages a single row by itself", () => {
    expect([...halved(Int16Array.from([-10, -20]), 2, 1, 1)]).toEqual([-15]);
  });
});

describe("the automatic window", () => {
  it("leaves the outermost hundredth at both ends out", () => {
    const pixels = Uint16Array.from({ length: 1001 }, (_, index) => index);
    pixels[0] = 60_000;

    const { centre, width } = percentileWindow(pixels, 1, 0);

    expect(width).toBeCloseTo(980, -1);
    expect(centre).toBeCloseTo(501, -1);
  });

  it("is never empty", () => {
    expect(percentileWindow(new Uint8Array(10), 1, 0).width).toBe(1);
  });
});

it("an empty image has a range all the same", () => {
  expect(extent(new Uint8Array())).toEqual([0, 0]);
});

describe("a table", () => {
  const table = { first: 100, entries: Uint16Array.from([0, 4095, 1000, 2000]), bits: 12 };

  it("maps each of its values to its entry, and those beyond to the nearest", () => {
    const window = tableWindow(table);
    const grays = [0, 100, 101, 102, 103, 900].map((value) => windowed(value, window));

    const expected = [0, 0, 4095, 1000, 2000, 2000].map((entry) => (255 * entry) / 4095);
    expect(grays).toEqual(expected);
  });

  it("is stretched with the window", () => {
    const window = tableWindow(table);
    const wide = { ...window, width: 7 };

    expect(windowed(window.centre - 0.5 + 1, wide)).toBeCloseTo((255 * 1000) / 4095, 9);
  });
});

describe("the whole range", () => {
  const whole = (pixels: Samples, parts: { padding?: Padding; slope?: number } = {}) => {
    const size = { width: pixels.length, height: 1, samples: 1 as const, bits: 12 };
    const found = completed({ ...size, pixels, ...parts }).presets.find((p) => p.name === "full");
    const { centre = 0, width = 0 } = found ?? {};
    return [centre - width / 2, centre + width / 2 - 1];
  };
  const ramp = (length: number, ...others: number[]) => [
    ...Array.from({ length }, (_, index) => 100 + (index % 500)),
    ...others,
  ];

  it.each([
    ["a hot pixel", Uint16Array.from(ramp(2000, 4095)), [100, 599]],
    ["a hot and a dead one", Int16Array.from(ramp(2000, -3000, 4095)), [100, 599]],
    ["more than one in a thousand", Uint16Array.from(ramp(2000, 4095, 4095, 4095)), [100, 4095]],
    ["an end that joins the rest", Uint16Array.from(ramp(2000, 610)), [100, 610]],
    ["a few pixels", Uint16Array.from([100, 101, 102, 4095]), [100, 4095]],
    ["values that are not whole", Float32Array.from(ramp(2000, 0.5, 4095)), [0.5, 4095]],
  ])("of %s", (_, pixels, range) => {
    expect(whole(pixels)).toEqual(range);
  });

  it("leaves padding and the sign of the slope aside", () => {
    const pixels = Uint16Array.from(ramp(2000, 4095, ...Array(100).fill(0)));

    expect(whole(pixels, { padding: [0, 0], slope: -2 })).toEqual([-1198, -200]);
  });
});

describe("padding", () => {
  const padded = completed({
    width: 4,
    height: 1,
    samples: 1,
    bits: 12,
    pixels: Uint16Array.from([4000, 10, 20, 30]),
    padding: [3900, 4100],
  });

  it("is left out of range and windows", () => {
    expect(padded.range).toEqual([10, 30]);
    expect(padded.stored).toEqual([10, 4000]);
    expect(padded.presets.every(({ centre }) => centre < 40)).toBe(true);
  });

  it("is black, whatever is inverted", () => {
    const window = { centre: 20.5, width: 21 };

    expect(grays(padded, window)).toEqual([0, 0, 128, 255]);
    expect(grays({ ...padded, inverted: true }, window)).toEqual([0, 255, 127, 0]);
    expect(grays(padded, window, true)).toEqual([0, 255, 127, 0]);
  });

  it("does not bleed into the half-size copy", () => {
    const half = halved(Uint16Array.from([4000, 10, 20, 30]), 2, 2, 1, [3900, 4100]);

    expect([...half]).toEqual([20]);
  });

  it("stays where nothing else is", () => {
    const half = halved(Uint16Array.from([4000, 4000, 4000, 4000]), 2, 2, 1, [3900, 4100]);

    expect([...half]).toEqual([4000]);
  });
});
