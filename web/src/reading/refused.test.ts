import { expect, it } from "vitest";
import { refused } from "./send";

const response = (status: number, headers: Record<string, string> = {}) =>
  new Response(null, { status, headers });

const problem = (type: string, status: number) => ({
  type: `https://example.org/problems/${type}`,
  title: "Title",
  status,
  detail: "Detail",
});

it.each([
  ["device-lost", 503, "60", 60_000],
  ["not-ready", 503, "5", 5_000],
  ["queue-full", 429, "2", 2_000],
])("a service that says %s is waited for, and its reason is kept", (type, status, after, ms) => {
  const outcome = refused(problem(type, status), response(status, { "Retry-After": after }));

  expect(outcome).toEqual({ kind: "overloaded", retryAfterMs: ms, type });
});

it("a 503 that names no time is about the image", () => {
  const outcome = refused(problem("out-of-memory", 503), response(503));

  expect(outcome).toMatchObject({ kind: "problem", problem: { type: "out-of-memory" } });
});

it.each([502, 503, 504])("a gateway's own %d counts as a broken connection", (status) => {
  expect(refused("<html>Bad gateway</html>", response(status))).toEqual({ kind: "broken" });
});
