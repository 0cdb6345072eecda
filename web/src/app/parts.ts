import { lazy } from "./lazy";

export const prove = lazy(async () => (await import("../prove/ProvePage")).ProvePage);

export const models = lazy(async () => (await import("../models/ModelsPage")).ModelsPage);
