import createClient, { type Client, type Middleware } from "openapi-fetch";
import type { paths } from "./schema";

export type Api = Client<paths>;

/**
 * The client of the service that served this page.
 *
 * @param key The API key to send along, where the service asks for one.
 */
export function createApi(baseUrl: string, key: () => string | null): Api {
  const api = createClient<paths>({ baseUrl });
  const authorise: Middleware = {
    onRequest({ request }) {
      const value = key();
      if (value) request.headers.set("Authorization", `Bearer ${value}`);
      return request;
    },
  };
  api.use(authorise);
  return api;
}
