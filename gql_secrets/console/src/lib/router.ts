/** Where in the console one is stands in the address's fragment: `#/` or `#/apps/<client id>`. */

import { createStore, useStore } from "./store";

export type Route = { readonly page: "apps" } | { readonly page: "client"; readonly clientId: string };

export const APPS_ADDRESS = "#/";
export const clientAddress = (clientId: string): string => `#/apps/${encodeURIComponent(clientId)}`;

function parse(hash: string): Route {
  const clientId = /^#\/apps\/([^/]+)$/.exec(hash)?.[1];
  if (clientId === undefined) return { page: "apps" };
  try {
    return { page: "client", clientId: decodeURIComponent(clientId) };
  } catch {
    return { page: "apps" }; // a stray percent sign names no client
  }
}

// It listens from the start: an address that changes before the page's first effects have run is followed too.
const fragment = createStore(location.hash);
addEventListener("hashchange", () => fragment.set(location.hash));

export const useRoute = (): Route => parse(useStore(fragment));
