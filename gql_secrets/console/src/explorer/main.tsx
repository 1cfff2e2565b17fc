/** @jsxImportSource react */
import "./workers";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import "graphiql/style.css";
import "./explorer.css";
import { createClient } from "graphql-ws";
import { createRoot } from "react-dom/client";
import { operationFromAddress } from "./address";
import { PREFILLED } from "./prefilled";

const ENDPOINT = "/graphql";

const fetcher = createGraphiQLFetcher({
  url: ENDPOINT,
  wsClient: createClient({ url: `${location.origin.replace(/^http/, "ws")}${ENDPOINT}` }),
});

// This window's own work survives a reload and ends with the window; headers, which may hold a
// credential, are never kept.
const asked = operationFromAddress(location.hash);
if (asked) {
  for (const kept of ["tabState", "query", "variables"]) sessionStorage.removeItem(`graphiql:${kept}`);
  history.replaceState(null, "", location.pathname);
}

createRoot(document.getElementById("explorer")!).render(
  <GraphiQL
    fetcher={fetcher}
    storage={sessionStorage}
    {...(asked && { initialVariables: asked.variables })}
    defaultTabs={asked ? [asked, ...PREFILLED] : PREFILLED}
    shouldPersistHeaders={false}
    showPersistHeadersSettings={false}
    defaultEditorToolsVisibility="variables"
  >
    <GraphiQL.Logo>
      <a className="to-console" href="/">
        Authorized Apps
      </a>
    </GraphiQL.Logo>
  </GraphiQL>,
);
