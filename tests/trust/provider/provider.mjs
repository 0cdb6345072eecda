// An OpenID provider for the tests: node provider.mjs PORT KEY_NAME
// Backends prove themselves with a signed assertion (private_key_jwt) and get JWT access tokens.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import Provider from "oidc-provider";

const [port, keyName, clientJwks] = process.argv.slice(2);
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = { ...privateKey.export({ format: "jwk" }), kid: keyName, use: "sig", alg: "RS256" };
const scopes = "pneumoscope/predict pneumoscope/read pneumoscope/feedback";

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "pacs",
      token_endpoint_auth_method: "private_key_jwt",
      token_endpoint_auth_signing_alg: "ES384",
      jwks: JSON.parse(readFileSync(clientJwks, "utf8")),
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  jwks: { keys: [key] },
  clientAuthMethods: ["private_key_jwt"],
  enabledJWA: { clientAuthSigningAlgValues: ["ES384"] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_context, resource) => ({
        scope: scopes,
        audience: resource,
        accessTokenTTL: 300,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
  scopes: scopes.split(" "),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
