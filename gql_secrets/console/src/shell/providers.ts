/** The identity providers at which people sign in, and the way there and back. */

import { readConsoleSettings } from "../dialogs/files";
import { isSomethingKept } from "../ui/dialog";

export interface Provider {
  readonly name: string;
  readonly issuer: string;
}

export async function readProviders(): Promise<readonly Provider[]> {
  try {
    return (await readConsoleSettings()).identityProviders ?? [];
  } catch {
    return []; // one-time links work without
  }
}

/** Where a sign-in begins; afterwards the browser is back at this page. */
export function startOf(issuer: string, silent = false): string {
  const query = new URLSearchParams({ issuer, return_to: `/${location.hash}` });
  if (silent) query.set("silent", "1");
  return `/sign-in/start?${query}`;
}

/** A session that only lasts until its role must be confirmed goes on after a redirect that asks nobody anything. */
export async function renewSilently(): Promise<void> {
  try {
    const answer = await fetch("/sign-in/renewal", { credentials: "same-origin", cache: "no-store" });
    if (answer.status !== 200) return;
    const { issuer } = (await answer.json()) as { issuer: string };
    // A new secret on the screen exists nowhere else.
    if (!isSomethingKept()) location.assign(startOf(issuer, true));
  } catch {
    // The page says that the sign-in has ended.
  }
}
