import { useState } from "preact/hooks";
import { Icon } from "../app/icons";
import { useProveStrings } from "./context";
import type { Trial } from "./trial";

/** Forgets the trial, after a second click. */
export function Erase({ trial }: { readonly trial: Trial }) {
  const strings = useProveStrings();
  const [isSure, setSure] = useState(false);
  return (
    <button
      type="button"
      class="button"
      onBlur={() => setSure(false)}
      onClick={() => (isSure ? void trial.erase() : setSure(true))}
    >
      <Icon name="close" /> {isSure ? strings.eraseSure : strings.erase}
    </button>
  );
}
