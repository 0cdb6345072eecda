import { client } from "./hey_api_generated/client.gen.ts";
import { predict, predictImage } from "./hey_api_generated/sdk.gen.ts";
import { image, letter, tell, url } from "./files.ts";

client.setConfig({ baseUrl: url });

const files = await predict({ body: { file: [image, letter] } });
const whole = await predictImage({ body: image });
const refused = await predict({ body: { file: [letter] } });

tell(files.data!.results, whole.data!.results, refused.error?.type);
