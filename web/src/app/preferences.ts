import { effect, type Signal, signal } from "@preact/signals";
import type { Language } from "../strings";

export type Theme = "dark" | "light" | "system";

export const THEMES: readonly Theme[] = ["dark", "light", "system"];

/** The only thing that the page keeps: how it looks. Never an image, a name or a result. */
export interface Preferences {
  readonly theme: Signal<Theme>;
  readonly language: Signal<Language>;
  readonly opacity: Signal<number>;
}

const KEY = "pneumoscope.preferences";

/** Read the preferences, and keep them from then on. A reading room is dark until told otherwise. */
export function createPreferences(storage: Storage, languages: readonly string[]): Preferences {
  const kept = read(storage);
  const theme = signal<Theme>(THEMES.find((name) => name === kept.theme) ?? "dark");
  const language = signal<Language>(asLanguage(kept.language) ?? firstKnown(languages));
  const opacity = signal(typeof kept.opacity === "number" ? clamp(kept.opacity) : 0.5);
  effect(() => {
    const values = { theme: theme.value, language: language.value, opacity: opacity.value };
    try {
      storage.setItem(KEY, JSON.stringify(values));
    } catch {
      // A browser may refuse storage; the preferences then last as long as the tab.
    }
  });
  return { theme, language, opacity };
}

function read(storage: Storage): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(storage.getItem(KEY) ?? "{}");
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

const asLanguage = (value: unknown): Language | null =>
  value === "en" || value === "es" ? value : null;

const firstKnown = (languages: readonly string[]): Language =>
  languages.map((name) => asLanguage(name.slice(0, 2))).find((name) => name !== null) ?? "en";

const clamp = (value: number) => Math.min(1, Math.max(0, value));
