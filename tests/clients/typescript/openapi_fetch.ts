import createClient from "openapi-fetch";
import type { paths } from "./openapi_fetch_generated/schema.d.ts";
import { image, letter, tell, url } from "./files.ts";

const client = createClient<paths>({ baseUrl: url });

// The types call a binary part a string, as their generator documents; the serializer gets the files.
function upload(...files: File[]) {
  return client.POST("/predict", {
    body: { file: files as unknown as string[] },
    bodySerializer: () => {
      const form = new FormData();
      for (const file of files) form.append("file", file);
      return form;
    },
  });
}

const files = await upload(image, letter);
const whole = await client.POST("/predict/image", {
  body: "",
  bodySerializer: () => image,
  headers: { "Content-Type": "application/octet-stream" },
});
const refused = await upload(letter);

tell(files.data!.results, whole.data!.results, refused.error?.type);
