/** Where in the console one is stands in the address's fragment: `#/` or `#/apps/<client id>`. */

import { useEffect, useState } from "preact/hooks";

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

export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const follow = () => setHash(location.hash);
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return parse(hash);
}
