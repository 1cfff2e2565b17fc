/**
 * The place in the console, as the address's fragment names it: `#/` (overview), `#/apps?show=…&search=…` (the list),
 * `#/apps/<client id>`, `#/activity?…`, `#/people`, `#/webhooks`.
 */

import { type ActivityView, EVERY_EVENT, parseActivityView, writeActivityView } from "./activityView";
import { EVERY_CLIENT, type ListView, parseListView, writeListView } from "./listView";
import { createStore, useStore } from "./store";

export type Route =
  | { readonly page: "overview" }
  | { readonly page: "apps"; readonly view: ListView }
  | { readonly page: "client"; readonly clientId: string }
  | { readonly page: "activity"; readonly view: ActivityView }
  | { readonly page: "people" }
  | { readonly page: "webhooks" }
  | { readonly page: "unknown" };

export const OVERVIEW_ADDRESS = "#/";
export const APPS_ADDRESS = "#/apps";
export const ACTIVITY_ADDRESS = "#/activity";
export const PEOPLE_ADDRESS = "#/people";
export const WEBHOOKS_ADDRESS = "#/webhooks";
export const clientAddress = (clientId: string): string => `#/apps/${encodeURIComponent(clientId)}`;

export function listAddressOf(view: Partial<ListView>): string {
  const written = writeListView({ ...EVERY_CLIENT, ...view });
  return written ? `${APPS_ADDRESS}?${written}` : APPS_ADDRESS;
}

export function activityAddressOf(view: Partial<ActivityView>): string {
  const written = writeActivityView({ ...EVERY_EVENT, ...view });
  return written ? `${ACTIVITY_ADDRESS}?${written}` : ACTIVITY_ADDRESS;
}

export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.split(/\?(.*)/s);
  if (path === "" || path === "#" || path === OVERVIEW_ADDRESS) return { page: "overview" };
  if (path === APPS_ADDRESS) return { page: "apps", view: parseListView(query) };
  if (path === ACTIVITY_ADDRESS) return { page: "activity", view: parseActivityView(query) };
  if (path === PEOPLE_ADDRESS) return { page: "people" };
  if (path === WEBHOOKS_ADDRESS) return { page: "webhooks" };
  const clientId = /^#\/apps\/([^/]+)$/.exec(path)?.[1];
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

/** Change the address; with `replace`, without a new step of the way back. */
export function goTo(address: string, { replace = false } = {}): void {
  if (!replace) {
    location.hash = address;
    return;
  }
  history.replaceState(null, "", address);
  fragment.set(address); // it fires no event
}

/** Called when the address leads to another page. */
export function onNavigation(listener: () => void): () => void {
  let [before] = fragment.get().split("?");
  return fragment.subscribe((next) => {
    const [path] = next.split("?");
    if (path === before) return;
    before = path;
    listener();
  });
}

/** The list as it was last seen: with its filters, or without. */
let list = APPS_ADDRESS;
const rememberList = (hash: string) => {
  if (parseRoute(hash).page === "apps") list = hash;
};
rememberList(fragment.get());
fragment.subscribe(rememberList);
export const listAddress = (): string => list;

/** Where the address leads, although the page may not be there yet. */
export const currentRoute = (): Route => parseRoute(location.hash);

export const useRoute = (): Route => parseRoute(useStore(fragment));
