// An OpenID provider on loopback, with the console as its client: node provider.mjs <port> <console's URL>
import { randomBytes } from "node:crypto";
import Provider from "oidc-provider";

const [port, console_] = process.argv.slice(2);
const issuer = `http://localhost:${port}`;
const roles = { ada: ["IONAPI-Admin"], vera: ["look"] };

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "the-console",
      client_secret: "a secret of the tests: with a colon",
      grant_types: ["authorization_code", "refresh_token"],
      redirect_uris: [`${console_}/sign-in/callback`],
      post_logout_redirect_uris: [`${console_}/`],
      backchannel_logout_uri: `${console_}/sign-in/back-channel-logout`,
      backchannel_logout_session_required: true,
    },
  ],
  claims: { openid: ["sub"], profile: ["preferred_username", "roles"] },
  conformIdTokenClaims: false,
  cookies: { keys: [randomBytes(16).toString("hex")] },
  features: { backchannelLogout: { enabled: true } },
  // The provider refuses to ask addresses of this machine; here the console is one.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  findAccount: (_, id) => ({
    accountId: id,
    claims: async () => ({ sub: id, preferred_username: id, roles: roles[id] ?? [] }),
  }),
  issueRefreshToken: async (_, client) => client.grantTypeAllowed("refresh_token"),
  pkce: { required: () => true },
});
for (const event of ["server_error", "backchannel.error", "grant.error", "authorization.error"]) {
  provider.on(event, (_, ...trouble) => console.error(event, ...trouble));
}
provider.listen(port, "localhost", () => console.log("ready"));
