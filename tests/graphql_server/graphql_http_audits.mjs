/**
 * Runs the public audits of GraphQL over HTTP against a served endpoint.
 *
 *     node graphql_http_audits.mjs MODULES URL
 *
 * MODULES is a directory in which the npm package graphql-http is installed. GRAPHQL_AUTHORIZATION, if set, is sent
 * as the Authorization header, since introspection is for signed-in callers. Prints one JSON array of
 * {id, name, status, reason} and fails when an audit is not "ok".
 */
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, url] = process.argv.slice(2);
const { serverAudits } = createRequire(join(modules, "here.js"))("graphql-http");
const authorization = process.env.GRAPHQL_AUTHORIZATION;

const fetchFn = (target, init = {}) =>
  fetch(target, {
    ...init,
    headers: { ...init.headers, ...(authorization ? { authorization } : {}) },
  });

const results = [];
for (const audit of serverAudits({ url, fetchFn })) {
  const { id, name, status, reason } = await audit.fn();
  results.push({ id, name, status, reason });
}
console.log(JSON.stringify(results));
process.exitCode = results.every(({ status }) => status === "ok") ? 0 : 1;
