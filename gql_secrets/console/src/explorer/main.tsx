/** @jsxImportSource react */
import "./workers";
import { type Fetcher, createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import "graphiql/style.css";
import "./explorer.css";
import { type DocumentNode, Kind, parse } from "graphql";
import { createClient } from "graphql-ws";
import { createRoot } from "react-dom/client";
import { operationFromAddress } from "./address";
import { PREFILLED } from "./prefilled";

const ENDPOINT = "/graphql";

const ask = createGraphiQLFetcher({
  url: ENDPOINT,
  wsClient: createClient({ url: `${location.origin.replace(/^http/, "ws")}${ENDPOINT}` }),
});

/** After a change of tabs GraphiQL goes on for a while with what it knew of the other one: the text itself says more. */
const fetcher: Fetcher = (params, options) => {
  const documentAST = parsed(params.query);
  if (!documentAST) return ask(params, options);
  const names = documentAST.definitions.flatMap((each) =>
    each.kind === Kind.OPERATION_DEFINITION ? [each.name?.value ?? null] : [],
  );
  const [only = null] = names;
  const operationName = names.length === 1 ? only : (params.operationName ?? null);
  return ask({ ...params, operationName }, { ...options, documentAST });
};

function parsed(text: string): DocumentNode | null {
  try {
    return parse(text);
  } catch {
    return null; // the server says what is wrong with it
  }
}

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
