import { useEffect, useState } from "preact/hooks";
import type { Api } from "../api/client";
import type { ModelDescription } from "../api/types";
import { useSession } from "../app/context";

export interface Figure {
  readonly name: string;
  readonly url: string;
}

interface Documents {
  readonly card: string | null;
  readonly figures: readonly Figure[];
}

const NOTHING: Documents = { card: null, figures: [] };

/**
 * A model's card and plots. They come through the API client, since an `<img>` could not bring the
 * key that a service may ask for.
 */
export function useCard(model: ModelDescription): Documents {
  const { api } = useSession().parts;
  const [documents, setDocuments] = useState(NOTHING);
  const { name, version } = model;
  useEffect(() => {
    let isCurrent = true;
    let made: readonly Figure[] = [];
    void load(api, name, version).then((loaded) => {
      made = loaded.figures;
      if (isCurrent) setDocuments(loaded);
      else release(made);
    });
    return () => {
      isCurrent = false;
      release(made);
    };
  }, [api, name, version]);
  return documents;
}

async function load(api: Api, name: string, version: number): Promise<Documents> {
  const path = { name, version };
  try {
    const [card, list] = await Promise.all([
      api.GET("/models/{name}/versions/{version}/card", { params: { path }, parseAs: "text" }),
      api.GET("/models/{name}/versions/{version}/figures", { params: { path } }),
    ]);
    const files = list.data?.figures ?? [];
    const figures = await Promise.all(files.map((file) => figure(api, path, file)));
    return { card: card.data ?? null, figures: figures.flatMap((found) => found ?? []) };
  } catch {
    // The banner says that the service is away; the page keeps what it has.
    return NOTHING;
  }
}

async function figure(
  api: Api,
  path: { name: string; version: number },
  file: string,
): Promise<Figure | null> {
  const { data } = await api.GET("/models/{name}/versions/{version}/figures/{figure}", {
    params: { path: { ...path, figure: file } },
    parseAs: "blob",
  });
  if (!data) return null;
  return { name: file.replace(/\.png$/, ""), url: URL.createObjectURL(data as Blob) };
}

function release(figures: readonly Figure[]): void {
  for (const { url } of figures) URL.revokeObjectURL(url);
}
