import { type Signal, signal } from "@preact/signals";

export type Route = "read" | "models";

/** Which page is shown, as the address says it, so that going back and bookmarks work. */
export function createRoute(location: Location): Signal<Route> {
  const current = (): Route => (location.hash === "#models" ? "models" : "read");
  const route = signal(current());
  window.addEventListener("hashchange", () => {
    route.value = current();
  });
  return route;
}
