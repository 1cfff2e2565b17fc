// An OpenID provider on loopback that issues JWT access tokens (RFC 9068) for the resource that a client names
// (RFC 8707): node access_tokens.mjs <port, or 0> <JSON: each client's claims>
import { generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [port, clients] = [Number(process.argv[2]), JSON.parse(process.argv[3])];
const API = "gql-secrets-api";
const SECRET = "a secret of the tests";
const redirect_uri = "http://localhost:1/callback"; // nobody listens there: the test reads the address

const makeKey = (type, options) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: "jwk" }),
  kid: randomUUID(),
  use: "sig",
});
const makeRsaKey = () => makeKey("rsa", { modulusLength: 2048 });
const keys = [makeRsaKey(), makeKey("ec", { namedCurve: "P-256" }), makeKey("ed25519")];

/** What the query of the resource asks for: `audience`, `alg`, `format`, `seconds`. */
function readResource(resource) {
  const asked = new URL(resource).searchParams;
  return {
    scope: "",
    audience: asked.get("audience") ?? API,
    accessTokenFormat: asked.get("format") ?? "jwt",
    accessTokenTTL: Number(asked.get("seconds") ?? 3600),
    jwt: { sign: { alg: asked.get("alg") ?? "RS256" } },
  };
}

const makeProvider = (issuer) =>
  new Provider(issuer, {
    clients: [
      ...Object.keys(clients).map((client_id) => ({
        client_id,
        client_secret: SECRET,
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
      })),
      { client_id: "frontend", client_secret: SECRET, redirect_uris: [redirect_uri] },
    ],
    clientBasedCORS: () => false,
    conformIdTokenClaims: false,
    cookies: { keys: [randomBytes(16).toString("hex")] },
    enabledJWA: { idTokenSigningAlgValues: ["RS256", "ES256", "PS256", "Ed25519", "EdDSA"] },
    extraTokenClaims: (_, token) => clients[token.clientId] ?? { roles: [token.accountId] },
    features: {
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => readResource(resource),
        useGrantedResource: () => true,
      },
    },
    findAccount: (_, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    jwks: { keys },
    pkce: { required: () => true },
  });

let answer;
const server = createServer((request, response) => {
  if (request.url !== "/rotate") return answer(request, response);
  keys.unshift(makeRsaKey()); // it signs from now on; the old one stays in the key set
  answer = makeProvider(issuer).callback();
  response.end();
});
let issuer;
server.listen(port, "localhost", () => {
  issuer = `http://localhost:${server.address().port}`;
  answer = makeProvider(issuer).callback();
  console.log("ready", issuer);
});
