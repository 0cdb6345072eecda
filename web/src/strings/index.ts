import { en, type Strings } from "./en";
import { es } from "./es";

export type Language = "en" | "es";
export type { Strings };

export const LANGUAGES: Readonly<Record<Language, Strings>> = { en, es };
