import { Configuration, PredictionApi, ResponseError } from "./openapi_generator_generated/index.ts";
import { image, letter, tell, url } from "./files.ts";

const client = new PredictionApi(new Configuration({ basePath: url }));

const files = await client.predict({ file: [image, letter] });
const whole = await client.predictImage({ body: image });
const problem = await client.predict({ file: [letter] }).then(
  () => undefined,
  async (error: ResponseError) => (await error.response.json()).type as string,
);

tell(files.results, whole.results, problem);
