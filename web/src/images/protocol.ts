import type { PreviewReason } from "./types";

/** What the page asks of its image worker. */
export type Request = { readonly id: number; readonly file: Blob } & (
  | { readonly kind: "decode"; readonly frame: number }
  | { readonly kind: "film"; readonly salt: string }
  | { readonly kind: "thumbnail" | "facts" | "patient" }
);

/** The id of the message by which a worker says that it has started. */
export const STARTED = 0;

export type Response = { readonly id: number } & (
  | { readonly value: unknown }
  | { readonly failure: { readonly reason: PreviewReason; readonly subject: string } }
);
