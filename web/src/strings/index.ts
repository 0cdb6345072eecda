import type { Strings } from "./en";

export type Language = "en" | "es";
export type { Strings };

export const NAMES: Readonly<Record<Language, string>> = { en: "English", es: "Español" };

/** The words of a language, of which a page needs one. */
export const loadStrings: Readonly<Record<Language, () => Promise<Strings>>> = {
  en: async () => (await import("./en")).en,
  es: async () => (await import("./es")).es,
};
