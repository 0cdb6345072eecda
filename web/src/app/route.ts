import { type Signal, signal } from "@preact/signals";

export type Route = "read" | "prove" | "models";

/** Which page is shown, as the address says it, so that going back and bookmarks work. */
export function createRoute(location: Location): Signal<Route> {
  const route = signal<Route>(named(location.hash) ?? "read");
  window.addEventListener("hashchange", () => {
    route.value = named(location.hash) ?? route.peek();
  });
  return route;
}

const PAGES: ReadonlyMap<string, Route> = new Map([
  ["", "read"],
  ["#read", "read"],
  ["#prove", "prove"],
  ["#models", "models"],
]);

/** Null for an address within a page. */
const named = (hash: string): Route | null => PAGES.get(hash) ?? null;
