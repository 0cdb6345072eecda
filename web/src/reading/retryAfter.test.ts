import { expect, it } from "vitest";
import { retryAfterMs } from "./retryAfter";

const NOW = Date.parse("2026-11-20T10:00:00Z");

it.each([
  ["7", 7_000],
  ["0", 1_000],
  ["Fri, 20 Nov 2026 10:00:30 GMT", 30_000],
  ["Fri, 20 Nov 2026 09:00:00 GMT", 1_000],
  [null, 2_000],
  ["", 2_000],
  ["soon", 2_000],
  ["999999", 300_000],
])("Retry-After %s means %d ms", (header, wait) => {
  expect(retryAfterMs(header, NOW)).toBe(wait);
});
