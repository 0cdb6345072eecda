import { describe, expect, it } from "vitest";
import { codestreamOf } from "./codestream";

const jpeg = (process: number, bits: number) =>
  Uint8Array.of(0xff, 0xd8, 0xff, 0xc4, 0, 3, 9, 0xff, 0xff, process, 0, 11, bits, 0, 1, 0, 1, 1);

describe("a codestream", () => {
  it.each([
    ["JPEG", jpeg(0xc0, 8)],
    ["JPEG", jpeg(0xc2, 8)],
    ["other", jpeg(0xc1, 12)],
    ["other", jpeg(0xc9, 8)],
    ["JPEG Lossless", jpeg(0xc3, 12)],
    ["JPEG-LS", jpeg(0xf7, 12)],
    ["JPEG 2000", Uint8Array.of(0xff, 0x4f, 0xff, 0x51, 0, 41)],
    [null, Uint8Array.of(0xff, 0xd8, 0xff, 0xda, 0, 8, 1)],
    [null, Uint8Array.of(1, 0, 0, 0)],
    [null, new Uint8Array()],
  ])("is %s by its header", (family, bytes) => {
    expect(codestreamOf(bytes).family).toBe(family);
  });

  it("says how deep its samples are", () => {
    expect(codestreamOf(jpeg(0xc3, 12)).bits).toBe(12);
  });
});
