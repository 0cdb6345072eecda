import { type Signal, signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Keeping } from "../session/keeping";
import type { Session } from "../session/session";
import type { Language, Strings } from "../strings";
import type { Incoming } from "../tray/incoming";
import type { ViewerModel } from "../viewer/model";
import type { Preferences } from "./preferences";

/** What every part of the page may need; made once in `main.tsx`. */
export interface Page {
  readonly session: Session;
  readonly keeping: Keeping;
  readonly preferences: Preferences;
  /** Of the language that is shown; the one before until another has been loaded. */
  readonly words: Signal<Strings>;
  readonly viewer: ViewerModel;
  readonly key: Signal<string | null>;
  /** Takes what is dropped in place of the tray, while another part of the page wants files. */
  readonly taker: Signal<((incoming: AsyncIterable<Incoming>) => void) | null>;
  /** Which dialog is open. */
  readonly dialog: Signal<"keys" | "key" | null>;
}

export const PageContext = createContext<Page | null>(null);

export function usePage(): Page {
  const page = useContext(PageContext);
  if (!page) throw new Error("no page around this component");
  return page;
}

export const useSession = (): Session => usePage().session;

export const useLanguage = (): Language => usePage().preferences.language.value;

export const useStrings = (): Strings => usePage().words.value;

export const createDialog = (): Page["dialog"] => signal<"keys" | "key" | null>(null);
