/** What the command palette lists: actions of the page, pages, lists, and clients that the server finds. */

import type { FoundClient, Viewer } from "../graphql/queries";
import { signOut } from "../graphql/session";
import { commandsNow } from "../lib/commands";
import { SHOWS, type Show } from "../lib/listView";
import { clientAddress, goTo, listAddressOf } from "../lib/router";
import { placesFor } from "../shell/places";
import { say } from "../ui/toast";

export interface Item {
  readonly group: "On this page" | "Go to" | "Clients";
  readonly words: string;
  readonly detail?: string;
  readonly run: () => void;
}

/** Everything that needs no search, as it is when the palette opens. */
export function fixedItems(viewer: Viewer, help: () => void): readonly Item[] {
  const commands = commandsNow().map((command): Item => ({ group: "On this page", ...command }));
  const places = placesFor(viewer).map(({ words, address }) => place(words, address));
  const lists = (Object.keys(SHOWS) as Show[]).map((show) =>
    place(`Clients: ${SHOWS[show].words.toLowerCase()}`, listAddressOf({ show })),
  );
  return [
    ...commands,
    ...places,
    ...lists,
    { group: "Go to", words: "Keyboard shortcuts", run: help },
    { group: "Go to", words: "Sign out", run: leave },
  ];
}

export const clientItem = ({ name, clientId }: FoundClient): Item => ({
  group: "Clients",
  words: name,
  detail: clientId,
  run: () => goTo(clientAddress(clientId)),
});

/** The items that contain every word that was typed. */
export function matching(items: readonly Item[], typed: string): readonly Item[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  return items.filter((item) => words.every((word) => item.words.toLowerCase().includes(word)));
}

function place(words: string, address: string): Item {
  const run = () => (address.startsWith("#") ? goTo(address) : location.assign(address));
  return { group: "Go to", words, run };
}

function leave(): void {
  signOut().catch(() => say("Could not sign out: the server cannot be reached. Try again."));
}
