import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { useStrings } from "./context";

export interface Lazy<P> {
  /** Fetch it, so that it is there when the service no longer is. */
  readonly fetch: () => Promise<void>;
  readonly Part: ComponentType<P>;
}

/** A part of the page that is loaded when it is first needed. One that did not arrive says so. */
export function lazy<P extends object>(load: () => Promise<ComponentType<P>>): Lazy<P> {
  let Loaded: ComponentType<P> | null = null;
  const fetch = async () => {
    Loaded ??= await load();
  };
  function Part(props: P) {
    const { models, preview } = useStrings();
    const [state, setState] = useState(Loaded ? "there" : "coming");
    useEffect(() => {
      // Also where it came between the drawing and this effect: the state still says that it is coming.
      void fetch().then(
        () => setState("there"),
        () => setState("absent"),
      );
    }, []);
    if (Loaded) return <Loaded {...props} />;
    return (
      <p class="quiet" role="status">
        {state === "absent" ? preview.reasons["not-loaded"]() : models.loading}
      </p>
    );
  }
  return { fetch, Part };
}
