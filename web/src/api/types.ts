import type { components } from "./schema";

type Schemas = components["schemas"];

export type Prediction = Schemas["PredictionBody"];
export type ImageAnswer = Schemas["ImageAnswer"];
export type SeriesAnswer = Schemas["SeriesAnswer"];
export type Quality = Schemas["QualityResult"];
export type QualityCheck = Schemas["QualityCheck"];
export type OutOfDistribution = Schemas["OutOfDistributionResult"];
export type EvidenceResult = Schemas["EvidenceResult"];
export type HeatmapResult = Schemas["HeatmapResult"];
export type Finding = Schemas["FindingResult"];
export type Metric = Schemas["Metric"];
export type ModelDescription = Schemas["ModelDescription"];
export type Agreement = Schemas["Agreement"];
export type Health = Schemas["Health"];
export type ProblemBody = Schemas["Problem"];
