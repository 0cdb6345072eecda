import type { PreviewReason } from "./types";

/** What the page asks of its image worker. */
export type Request = { readonly id: number; readonly file: Blob } & (
  | { readonly kind: "decode"; readonly frame: number }
  | { readonly kind: "thumbnail" | "facts" | "patient" }
);

export type Response = { readonly id: number } & (
  | { readonly value: unknown }
  | { readonly failure: { readonly reason: PreviewReason; readonly subject: string } }
);
