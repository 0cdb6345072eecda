import { predict, predictImage } from "./orval_generated/api.ts";
import { image, letter, tell, url } from "./files.ts";

// Its functions have addresses without a host, for pages of the same origin.
const fetchThere = globalThis.fetch;
globalThis.fetch = (address, options) => fetchThere(new URL(String(address), url), options);

const files = await predict({ file: [image, letter] });
const whole = await predictImage(image);
const refused = await predict({ file: [letter] });

if (files.status !== 200 || whole.status !== 200) throw new Error(`${files.status} ${whole.status}`);
tell(
  files.data.results,
  whole.data.results,
  refused.status === 422 ? refused.data.type : undefined,
);
