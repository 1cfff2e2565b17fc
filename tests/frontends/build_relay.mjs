// Compiles the program as a bundler would: each graphql`…` becomes the artifact of relay-compiler.

import { readFileSync, writeFileSync } from "node:fs";
import { transformSync } from "@babel/core";

const { code } = transformSync(readFileSync("relay_client.js", "utf8"), {
  configFile: false,
  plugins: [["relay", { artifactDirectory: "__generated__", eagerEsModules: true }]],
  filename: "relay_client.js",
});
// A bundler finds the artifacts without their extension; Node needs it.
writeFileSync("relay_built.mjs", code.replaceAll(/(from ".*\.graphql)"/g, '$1.js"'));
