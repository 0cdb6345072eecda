import { describe, expect, it } from "vitest";
import { decodeDicom } from "./image";
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
const VOI_LUT: Element = [
  0x0028_3010,
  "SQ",
  [
    [0x0028_3002, "US", [2, 100, 12]],
    [0x0028_3006, "OW", [0, 4095]],
  ],
];

describe("a bare data set", () => {
  it("is read in Explicit VR", async () => {
    expect([...(await opened()).pixels]).toEqual([0, 100, 200, 4000]);
  });

  it("is read with meta information, but without preamble", async () => {
    const uid = ascii(`${SYNTAX.explicitLittle}\0`);
    const meta = [...words([0x0002, 0x0010]), ...ascii("UI"), ...words([uid.length]), ...uid];

    const image = await decodeDicom(Uint8Array.from([...meta, ...dataSet(PLAIN)]), 1);

    expect(image.width).toBe(4);
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

  it("is no window that the Standard forbids", async () => {
    const image = await opened([0x0028_1050, "DS", "40"], [0x0028_1051, "DS", "0.5"]);

    expect(names(image)).toEqual(["auto", "full"]);
  });

  it("is damaged where the table is shorter than it says", async () => {
    const short: Element = [
      0x0028_3010,
      "SQ",
      [
        [0x0028_3002, "US", [9, 0, 12]],
        [0x0028_3006, "OW", [0, 4095]],
      ],
    ];

    await expect(opened(short)).rejects.toThrow("damaged");
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
