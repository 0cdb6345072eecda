/** RFC 9457 problem details, or one of the page's own kinds (`page:…`) without a server's answer. */
export interface Problem {
  readonly type: string;
  readonly status: number;
  readonly title?: string;
  readonly detail?: string;
  readonly requestId?: string;
  /** The model that was asked for by name; null where the service chose. */
  readonly askedModel?: string | null;
}

/** How one sending ended. */
export type Outcome<A> =
  | { readonly kind: "answer"; readonly answer: A }
  | { readonly kind: "problem"; readonly problem: Problem }
  /** Nothing is wrong with the image: the service takes none just now. `type` says why. */
  | { readonly kind: "overloaded"; readonly retryAfterMs: number; readonly type: string }
  | { readonly kind: "broken" };
