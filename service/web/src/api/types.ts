import type { components } from "./schema";

type Schemas = components["schemas"];

/**
 * Parts of an answer that the contract names and that a service may not have yet. The page shows
 * them when they are there and says nothing of them when they are not.
 */
interface Optional {
  readonly quality?: Quality | null;
  readonly out_of_distribution?: OutOfDistribution | null;
}

export interface Quality {
  readonly accepted: boolean;
  readonly checks: readonly QualityCheck[];
}

export interface QualityCheck {
  readonly name: string;
  readonly value: number;
  readonly lower: number | null;
  readonly upper: number | null;
  readonly passed: boolean;
}

export interface OutOfDistribution {
  readonly score: number;
  readonly limit: number;
  readonly accepted: boolean;
}

export type Prediction = Schemas["PredictionBody"];
export type ImageAnswer = Schemas["ImageAnswer"] & Optional;
export type Finding = Schemas["FindingResult"];
export type ModelDescription = Schemas["ModelDescription"];
export type Health = Schemas["Health"];
export type ProblemBody = Schemas["Problem"];
