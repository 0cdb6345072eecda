// Reads a resource from standard input; writes what is wrong with it by FHIR R4, or nothing.
import { readFileSync } from "node:fs";
import { Fhir } from "fhir/fhir.js";

const { messages } = new Fhir().validate(JSON.parse(readFileSync(0, "utf8")), {
  errorOnUnexpected: true,
});
const wrong = messages.filter(({ severity }) => severity === "error" || severity === "fatal");
for (const { location, message } of wrong) console.log(`${location}: ${message}`);
