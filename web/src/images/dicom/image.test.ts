import { describe, expect, it } from "vitest";
import type { Coded } from "./codecs";
import { decodeDicom } from "./image";
import type { Layout } from "./layout";
import { storedValues } from "./samples";
import { SYNTAX } from "./tags";

type Value = string | readonly number[] | readonly Element[];
type Element = readonly [tag: number, vr: "US" | "SS" | "DS" | "CS" | "OW" | "SQ", value: Value];

const ascii = (text: string) => [...text].map((letter) => letter.charCodeAt(0));
const words = (value: readonly number[]) =>
  value.flatMap((word) => [word & 0xff, (word >> 8) & 255]);
const long = (value: number) => [...words([value & 0xffff]), ...words([value >>> 16])];

function valueBytes(vr: string, value: Value): number[] {
  if (typeof value === "string") return ascii(value.length % 2 ? `${value} ` : value);
  if (vr !== "SQ") return words(value as readonly number[]);
  const item = dataSet(value as readonly Element[]);
  return [...words([0xfffe, 0xe000]), ...long(item.length), ...item];
}

/** A bare data set in Explicit VR Little Endian. */
function dataSet(elements: readonly Element[]): number[] {
  return [...elements]
    .sort(([a], [b]) => a - b)
    .flatMap(([tag, vr, value]) => {
      const bytes = valueBytes(vr, value);
      const length =
        vr === "OW" || vr === "SQ" ? [0, 0, ...long(bytes.length)] : words([bytes.length]);
      return [...words([tag >>> 16, tag & 0xffff]), ...ascii(vr), ...length, ...bytes];
    });
}

const PLAIN: readonly Element[] = [
  [0x0008_0060, "CS", "DX"],
  [0x0028_0002, "US", [1]],
  [0x0028_0004, "CS", "MONOCHROME2"],
  [0x0028_0010, "US", [1]],
  [0x0028_0011, "US", [4]],
  [0x0028_0100, "US", [16]],
  [0x0028_0101, "US", [16]],
  [0x0028_0102, "US", [15]],
  [0x0028_0103, "US", [0]],
  [0x7fe0_0010, "OW", [0, 100, 200, 4000]],
];

const opened = (...more: readonly Element[]) => {
  const tags = new Set(more.map(([tag]) => tag));
  const elements = [...PLAIN.filter(([tag]) => !tags.has(tag)), ...more];
  return decodeDicom(Uint8Array.from(dataSet(elements)), 1);
};
const names = ({ presets }: { presets: readonly { name: string }[] }) =>
  presets.map(({ name }) => name);

const WINDOW: readonly Element[] = [
  [0x0028_1050, "DS", "40"],
  [0x0028_1051, "DS", "400"],
];
const RESCALE: readonly Element[] = [
  [0x0028_1052, "DS", "-1024"],
  [0x0028_1053, "DS", "1"],
];
const CT: Element = [0x0008_0060, "CS", "CT"];
const SHORT: Element = [
  0x0028_3010,
  "SQ",
  [
    [0x0028_3002, "US", [9, 0, 12]],
    [0x0028_3006, "OW", [0, 4095]],
  ],
];
const VOI_LUT: Element = [
  0x0028_3010,
  "SQ",
  [
    [0x0028_3002, "US", [2, 100, 12]],
    [0x0028_3006, "OW", [0, 4095]],
  ],
];

describe("a bare data set", () => {
  const uid = ascii(`${SYNTAX.explicitLittle}\0`);
  const meta = [...words([0x0002, 0x0010]), ...ascii("UI"), ...words([uid.length]), ...uid];

  it("is read in Explicit VR", async () => {
    expect([...(await opened()).pixels]).toEqual([0, 100, 200, 4000]);
  });

  it("is read with meta information, but without preamble", async () => {
    const image = await decodeDicom(Uint8Array.from([...meta, ...dataSet(PLAIN)]), 1);

    expect(image.width).toBe(4);
  });

  it("is read behind the prefix, but without preamble", async () => {
    const file = [...ascii("DICM"), ...meta, ...dataSet(PLAIN)];

    expect((await decodeDicom(Uint8Array.from(file), 1)).width).toBe(4);
  });

  it("is damaged where there is nothing after its first element", async () => {
    const start = Uint8Array.from(dataSet(PLAIN.slice(0, 1)).slice(0, 9));

    await expect(decodeDicom(start, 1)).rejects.toThrow();
  });
});

describe("the first view", () => {
  it("is the table, where the file has one, and the windows come after", async () => {
    const image = await opened(VOI_LUT, ...WINDOW);

    expect(names(image)).toEqual(["table", "file-1", "auto", "full"]);
    expect(image.presets[0]).toMatchObject({ centre: 101, width: 2, curve: { bits: 12 } });
  });

  it("of CT in Hounsfield units is the lung, and the file's windows come after", async () => {
    const image = await opened(CT, ...RESCALE, ...WINDOW);

    expect(image.presets[0]).toEqual({ name: "lung", centre: -600, width: 1500 });
    expect(names(image).slice(0, 3)).toEqual(["lung", "file-1", "mediastinum"]);
    expect(image.unit).toBe("HU");
  });

  it("of CT without Hounsfield units is the file's", async () => {
    const image = await opened(CT, ...WINDOW);

    expect(names(image)).toEqual(["file-1", "auto", "full"]);
    expect(image.unit).toBeNull();
  });

  it("of CT is the lung with one rescale attribute, and the file's in another unit", async () => {
    const intercept: Element = [0x0028_1052, "DS", "-1024"];
    const atomicNumber: Element = [0x0028_1054, "CS", "Z_EFF"];
    const airless: Element = [0x0028_1052, "DS", "40000"];

    expect(names(await opened(CT, intercept, ...WINDOW))[0]).toBe("lung");
    for (const other of [[...RESCALE, atomicNumber], [airless]]) {
      expect(names(await opened(CT, ...other, ...WINDOW))[0]).toBe("file-1");
    }
  });

  it("is no window that the Standard forbids", async () => {
    const image = await opened([0x0028_1050, "DS", "40"], [0x0028_1051, "DS", "0.5"]);

    expect(names(image)).toEqual(["auto", "full"]);
  });

  it("is damaged where the table is shorter than it says", async () => {
    await expect(opened(SHORT)).rejects.toThrow("damaged");
  });

  it("is the window, where the table beside it is short or empty", async () => {
    const empty: Element = [0x0028_3010, "SQ", []];

    for (const table of [SHORT, empty]) {
      expect(names(await opened(table, ...WINDOW))).toEqual(["file-1", "auto", "full"]);
    }
  });

  it("is the window, where the table beside it is flat", async () => {
    const flat: Element = [
      0x0028_3010,
      "SQ",
      [
        [0x0028_3002, "US", [3, 0, 12]],
        [0x0028_3006, "OW", [0, 0, 0]],
      ],
    ];

    expect(names(await opened(flat, ...WINDOW))).toEqual(["file-1", "auto", "full"]);
    expect(names(await opened(flat))).toEqual(["table", "auto", "full"]);
  });

  it("is the first window of numbers, with a comma too, and its own function", async () => {
    const image = await opened(
      [0x0028_1050, "DS", "AUTO\\2048,5"],
      [0x0028_1051, "DS", "400\\0,5"],
      [0x0028_1056, "CS", "LINEAR\\SIGMOID"],
    );

    expect(image.presets[0]).toMatchObject({ centre: 2048.5, width: 0.5, curve: "SIGMOID" });
  });

  it("is that of the picture's range, where 8-bit samples are rescaled", async () => {
    const image = await opened(
      ...RESCALE,
      [0x0028_0100, "US", [8]],
      [0x0028_0101, "US", [8]],
      [0x0028_0102, "US", [7]],
      [0x7fe0_0010, "OW", [0x6432, 0x6432]],
    );

    expect(image.presets[0]).toEqual({ name: "full", centre: -948.5, width: 51 });
  });
});

describe("a table", () => {
  const table = (first: number, bits: number, ...entries: number[]): Element => [
    0x0028_3010,
    "SQ",
    [
      [0x0028_3002, "US", [entries.length, first, bits]],
      [0x0028_3006, "OW", entries],
    ],
  ];

  it.each([
    [16, 4095, 12],
    [12, 65_535, 16],
    [16, 7, 8],
  ])("that says %i bits and reaches %i has %i", async (said, greatest, bits) => {
    const image = await opened(table(0, said, 0, greatest));

    expect(image.presets[0]).toMatchObject({
      curve: { bits, entries: Uint16Array.of(0, greatest) },
    });
  });

  it("begins below zero where rescaled values may be negative", async () => {
    const [rescaled, stored] = await Promise.all([
      opened(table(0xfc00, 8, 0, 255), ...RESCALE),
      opened(table(0xfc00, 8, 0, 255)),
    ]);

    expect(rescaled.presets[0]).toMatchObject({ curve: { first: -1024 } });
    expect(stored.presets[0]).toMatchObject({ curve: { first: 0xfc00 } });
  });

  it.each([
    ["SS", 4096, -1024],
    ["SS", 1024, 0xfc00],
    ["US", 4096, 0xfc00],
  ] as const)(
    "whose first value is in %s and that has %i entries begins at %i",
    async (vr, count, first) => {
      const image = await opened([
        0x0028_3010,
        "SQ",
        [
          [0x0028_3002, vr, [count, 0xfc00, 12]],
          [0x0028_3006, "OW", Array.from({ length: count }, (_, entry) => entry)],
        ],
      ]);

      expect(image.presets[0]).toMatchObject({ curve: { first } });
    },
  );

  it("begins above zero where signed samples are rescaled to what cannot be negative", async () => {
    const image = await opened(
      table(40_000, 8, 0, 255),
      [0x0028_0103, "US", [1]],
      [0x0028_1052, "DS", "42048"],
      [0x0028_1053, "DS", "1"],
    );

    expect(image.presets[0]).toMatchObject({ curve: { first: 40_000 } });
  });
});

describe("a high bit above the stored ones", () => {
  const LEFT: readonly Element[] = [
    [0x0028_0101, "US", [12]],
    [0x0028_0102, "US", [15]],
  ];

  it.each([
    ["left-justified samples", [0x0640, 0xfff0], [100, 4095]],
    ["samples that were not shifted", [100, 4095], [100, 4095]],
    ["samples that may be either", [0x0640, 0x0010], [100, 1]],
  ])("is read of %s", async (_, cells, values) => {
    const image = await opened(...LEFT, [0x0028_0011, "US", [2]], [0x7fe0_0010, "OW", cells]);

    expect([...image.pixels]).toEqual(values);
  });
});

describe("a decoded codestream", () => {
  const layout = { pixels: 2, bytesPerSample: 2, bitsStored: 12, highBit: 11, signed: false };
  const read = (values: number[], coded: Partial<Coded>, header: Partial<Layout> = {}) =>
    storedValues(
      {
        bytes: new Uint8Array(Uint16Array.from(values).buffer),
        samples: 1,
        bigEndian: false,
        planar: false,
        isRgb: false,
        coded: { bits: 16, signed: false, lossy: false, ...coded },
      },
      { ...layout, ...header } as Layout,
    );

  it("has rubbish above the stored bits, which is masked", () => {
    expect([...read([0xf001, 0x1fff], {})]).toEqual([1, 4095]);
  });

  it("has the sign that the header gives it", () => {
    expect([...read([0x0fff, 0x0001], {}, { signed: true })]).toEqual([-1, 1]);
    expect([...read([0xffff, 0x0001], { signed: true })]).toEqual([4095, 1]);
  });

  it("is clipped where it is lossy", () => {
    expect([...read([0x1000, 5], { lossy: true })]).toEqual([4095, 5]);
    expect([...read([0x1000, 5], {}, { lossy: true })]).toEqual([4095, 5]);
    expect([...read([0xf000, 5], { lossy: true, signed: true }, { signed: true })]).toEqual([
      -2048, 5,
    ]);
  });

  it("is right-justified, whatever the high bit is", () => {
    expect([...read([0x0640, 0x0010], {}, { highBit: 15 })]).toEqual([0x640, 0x10]);
  });

  it("has a byte for a sample of up to 8 bits", () => {
    expect([...read([0x05fb], { bits: 8 })]).toEqual([0xfb, 5]);
  });
});

describe("padding", () => {
  it("is no part of the range", async () => {
    const image = await opened([0x0028_0120, "US", [4000]]);

    expect(image.range).toEqual([0, 200]);
    expect(image.padding).toEqual([4000, 4000]);
  });

  it("may be a range, given from either end", async () => {
    const image = await opened([0x0028_0120, "US", [4095]], [0x0028_0121, "US", [150]]);

    expect(image.range).toEqual([0, 100]);
  });

  it("is a signed number where the samples are", async () => {
    const image = await opened(
      [0x0028_0103, "US", [1]],
      [0x0028_0120, "SS", [-2000]],
      [0x7fe0_0010, "OW", [-2000, 1, 2, 3]],
    );

    expect(image.range).toEqual([1, 3]);
  });

  it.each([
    [0, [63_536, 0xf064, 200, 4000], [63_536, 100, 200, 4000], [100, 4000]],
    [1, [-2100, 0x7064, 200, 2000], [-2100, 100, 200, 2000], [100, 2000]],
  ])("may lie outside the stored bits (sign %i)", async (sign, cells, values, range) => {
    const image = await opened(
      [0x0028_0101, "US", [12]],
      [0x0028_0102, "US", [11]],
      [0x0028_0103, "US", [sign]],
      [0x0028_0120, "US", [cells[0] as number]],
      [0x7fe0_0010, "OW", cells],
    );

    expect([...image.pixels]).toEqual(values);
    expect(image.range).toEqual(range);
    expect(image.padding).toEqual([cells[0], cells[0]]);
  });

  it("is still known after a Modality LUT", async () => {
    const image = await opened(
      [0x0028_0120, "US", [4000]],
      [
        0x0028_3000,
        "SQ",
        [
          [0x0028_3002, "US", [3, 99, 12]],
          [0x0028_3006, "OW", [7, 8, 9]],
        ],
      ],
    );

    expect([...image.pixels]).toEqual([7, 8, 9, -1]);
    expect(image.range).toEqual([7, 9]);
  });
});
