import { expect, it } from "vitest";
import { sha256, sha256Here } from "./sha256";

const bytes = (length: number) => Uint8Array.from({ length }, (_, at) => (at * 31 + 7) % 256);

it.each([0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 100_001])(
  "%d bytes have the digest that others give them",
  async (length) => {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes(length)));
    const expected = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");

    expect(sha256Here(bytes(length))).toBe(expected);
    expect(await sha256(bytes(length))).toBe(expected);
  },
);

it("a part of a larger buffer is itself alone", () => {
  expect(sha256Here(bytes(300).subarray(100, 200))).toBe(sha256Here(bytes(300).slice(100, 200)));
});
