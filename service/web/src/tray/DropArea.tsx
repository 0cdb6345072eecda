import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { useSession, useStrings } from "../app/context";
import { dropped, pasted } from "./incoming";
import { take, takeFiles } from "./intake";

/** Takes files that are dropped anywhere on the page or pasted into it. */
export function DropArea({ children }: { readonly children: ComponentChildren }) {
  const session = useSession();
  const strings = useStrings();
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const leave = new AbortController();
    const { signal } = leave;
    const over = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
      setOver(true);
    };
    const drop = async (event: DragEvent) => {
      event.preventDefault();
      setOver(false);
      if (event.dataTransfer) await take(session, strings, dropped(event.dataTransfer));
    };
    const out = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const paste = (event: ClipboardEvent) =>
      void takeFiles(session, strings, pasted(event.clipboardData));
    window.addEventListener("dragover", over, { signal });
    window.addEventListener("dragleave", out, { signal });
    window.addEventListener("drop", (event) => void drop(event), { signal });
    window.addEventListener("paste", paste, { signal });
    return () => leave.abort();
  }, [session, strings]);
  return (
    <>
      {children}
      {isOver && (
        <div class="drop-veil" aria-hidden="true">
          <p>{strings.intake.dropHere}</p>
        </div>
      )}
    </>
  );
}
