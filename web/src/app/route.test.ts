import { afterEach, expect, it, vi } from "vitest";
import { createRoute } from "./route";

afterEach(() => vi.unstubAllGlobals());

/** A route that begins at one address and goes to others; what it shows after each. */
function shown(first: string, ...others: string[]): string[] {
  const window = new EventTarget();
  vi.stubGlobal("window", window);
  const location = { hash: first } as Location;
  const route = createRoute(location);
  const seen = [route.value as string];
  for (const hash of others) {
    location.hash = hash;
    window.dispatchEvent(new Event("hashchange"));
    seen.push(route.value);
  }
  return seen;
}

it("the address says which page is shown", () => {
  expect(shown("#models", "#read", "#models", "")).toEqual(["models", "read", "models", "read"]);
});

it("an address within a page leaves the page as it is", () => {
  expect(shown("#models", "#main", "#constructor")).toEqual(["models", "models", "models"]);
});
