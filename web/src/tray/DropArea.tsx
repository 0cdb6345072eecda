import type { Signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { usePage, useStrings } from "../app/context";
import type { Route } from "../app/route";
import { dropped, pasted } from "./incoming";
import { take, takeFiles } from "./intake";

/** Takes files that are dropped anywhere on the page or pasted into it, and goes to where they are. */
export function DropArea({ route }: { readonly route: Signal<Route> }) {
  const { session, taker } = usePage();
  const strings = useStrings();
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const leave = new AbortController();
    const { signal } = leave;
    const goToRead = () => {
      if (route.peek() !== "read") window.location.hash = "read";
    };
    const over = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
      setOver(true);
    };
    const drop = async (event: DragEvent) => {
      event.preventDefault();
      setOver(false);
      if (!event.dataTransfer?.types.includes("Files")) return;
      const incoming = dropped(event.dataTransfer);
      const taken = taker.peek();
      if (taken) {
        taken(incoming);
        return;
      }
      goToRead();
      await take(session, strings, incoming);
    };
    const out = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const paste = (event: ClipboardEvent) => {
      const files = pasted(event.clipboardData);
      if (files.length > 0) goToRead();
      void takeFiles(session, strings, files);
    };
    window.addEventListener("dragover", over, { signal });
    window.addEventListener("dragleave", out, { signal });
    window.addEventListener("drop", (event) => void drop(event), { signal });
    window.addEventListener("paste", paste, { signal });
    return () => leave.abort();
  }, [session, strings, route, taker]);
  if (!isOver) return null;
  return (
    <div class="drop-veil" aria-hidden="true">
      <p>{strings.intake.dropHere}</p>
    </div>
  );
}
