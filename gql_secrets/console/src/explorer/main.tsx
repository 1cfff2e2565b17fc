/** @jsxImportSource react */
import "./workers";
import { createGraphiQLFetcher, type Fetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import "graphiql/style.css";
import "./explorer.css";
import { type DocumentNode, Kind, parse } from "graphql";
import { createClient } from "graphql-ws";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { textOf } from "../graphql/graphql";
import { VIEWER } from "../graphql/queries";
import { operationFromAddress } from "./address";
import { PREFILLED } from "./prefilled";

const ENDPOINT = "/graphql";

const ask = createGraphiQLFetcher({
  url: ENDPOINT,
  wsClient: createClient({ url: `${location.origin.replace(/^http/, "ws")}${ENDPOINT}` }),
});

/** For a while after a change of tabs, GraphiQL still has the operation name of the other tab: take it from the text. */
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
    return null; // the server reports what is wrong with it
  }
}

// The work in this window survives a reload and ends with the window; headers, which may hold a
// credential, are never stored.
const asked = operationFromAddress(location.hash);
if (asked) {
  for (const kept of ["tabState", "query", "variables"]) sessionStorage.removeItem(`graphiql:${kept}`);
  history.replaceState(null, "", location.pathname);
}

/** Without a sign-in the server shows no schema: say what to do about it. */
function SignedOutNote() {
  const [signedOut, setSignedOut] = useState(false);
  useEffect(() => {
    void isSignedOut().then(setSignedOut);
  }, []);
  if (!signedOut) return null;
  return (
    <p className="signed-out" role="status">
      You are not signed in, so the schema is hidden. <a href="/">Sign in</a>, or add an <code>Authorization</code>{" "}
      header with a client id and secret in the Headers tab.
    </p>
  );
}

async function isSignedOut(): Promise<boolean> {
  try {
    const response = await fetch(ENDPOINT, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ query: textOf(VIEWER) }),
      credentials: "same-origin",
      cache: "no-store",
    });
    const { data } = (await response.json()) as { readonly data?: { readonly viewer: unknown } };
    return data?.viewer === null;
  } catch {
    return false; // GraphiQL itself says that the server cannot be reached
  }
}

createRoot(document.getElementById("explorer")!).render(
  <>
    <SignedOutNote />
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
    </GraphiQL>
  </>,
);
