import type { ModelDescription } from "../api/types";

export type Kind = "CT" | "XR";

export interface Offer {
  readonly kind: Kind;
  readonly model: string;
}

const RADIOGRAPHY: readonly string[] = ["CR", "DX", "RG", "DR"];

/** What a DICOM Modality means; null where it does not say. */
export function kindOfModality(modality: string | null): Kind | null {
  if (modality === "CT") return "CT";
  return modality !== null && RADIOGRAPHY.includes(modality) ? "XR" : null;
}

export const kindOf = ({ modalities }: Pick<ModelDescription, "modalities">): Kind =>
  modalities.includes("CT") ? "CT" : "XR";

/**
 * The model of the other kind, for an image that the first one did not take or finds strange.
 *
 * @param modality What the file says it is; where it says so and the model fits, nothing is offered.
 * @param preferred The service's default model, taken where it is of that kind.
 */
export function offerOf(
  models: readonly ModelDescription[],
  asked: string,
  modality: string | null,
  preferred: string | null,
): Offer | null {
  const model = models.find(({ name }) => name === asked);
  if (!model) return null;
  const current = kindOf(model);
  const said = kindOfModality(modality);
  if (said === current) return null;
  const kind: Kind = current === "CT" ? "XR" : "CT";
  const fitting = models.filter((one) => kindOf(one) === kind);
  const chosen = fitting.find(({ name }) => name === preferred) ?? fitting[0];
  return chosen ? { kind, model: chosen.name } : null;
}
