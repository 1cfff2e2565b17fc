/** The place in the console, as the address's fragment names it: `#/`, `#/in-rollover`, `#/people` or `#/apps/<client id>`. */

import { createStore, useStore } from "./store";

export type Route =
  | { readonly page: "apps"; readonly inRollover: boolean }
  | { readonly page: "client"; readonly clientId: string }
  | { readonly page: "people" }
  | { readonly page: "unknown" };

export const APPS_ADDRESS = "#/";
export const IN_ROLLOVER_ADDRESS = "#/in-rollover";
export const PEOPLE_ADDRESS = "#/people";
export const clientAddress = (clientId: string): string => `#/apps/${encodeURIComponent(clientId)}`;

export function parseRoute(hash: string): Route {
  if (hash === "" || hash === "#" || hash === APPS_ADDRESS) return { page: "apps", inRollover: false };
  if (hash === IN_ROLLOVER_ADDRESS) return { page: "apps", inRollover: true };
  if (hash === PEOPLE_ADDRESS) return { page: "people" };
  const clientId = /^#\/apps\/([^/]+)$/.exec(hash)?.[1];
  if (clientId === undefined) return { page: "unknown" };
  try {
    return { page: "client", clientId: decodeURIComponent(clientId) };
  } catch {
    return { page: "unknown" }; // a stray percent sign names no client
  }
}

// It listens from the start: an address that changes before the page's first effects have run is followed too.
const fragment = createStore(globalThis.location?.hash ?? "");
globalThis.addEventListener?.("hashchange", () => fragment.set(location.hash));

/** Called on every change of the address. */
export const onNavigation = (listener: () => void): (() => void) => fragment.subscribe(listener);

/** The list as it was last seen: with its filter, or without. */
let list = APPS_ADDRESS;
const rememberList = (hash: string) => {
  if (parseRoute(hash).page === "apps") list = hash || APPS_ADDRESS;
};
rememberList(fragment.get());
fragment.subscribe(rememberList);
export const listAddress = (): string => list;

export const useRoute = (): Route => parseRoute(useStore(fragment));
