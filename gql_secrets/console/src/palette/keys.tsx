/** Follows the console's shortcuts, and opens the command palette. */

import { useLayoutEffect } from "preact/hooks";
import type { Viewer } from "../graphql/queries";
import { areSingleKeysOn, shortcutOf } from "../lib/keys";
import { openDialog } from "../ui/dialog";
import { KeyboardHelp } from "./help";
import { Palette } from "./palette";

const openHelp = () => openDialog((close) => <KeyboardHelp close={close} />);

export function openPalette(viewer: Viewer): void {
  openDialog((close) => <Palette viewer={viewer} help={openHelp} close={close} />);
}

export function useShortcuts(viewer: Viewer | null): void {
  // As soon as the page is there: an effect after the paint would miss the first key.
  useLayoutEffect(() => {
    if (!viewer) return undefined;
    const follow = (event: KeyboardEvent) => {
      const at = event.target instanceof HTMLElement ? event.target : document.body;
      const typing = at.isContentEditable || at.closest("input, textarea, select") !== null;
      const shortcut = shortcutOf(event, { typing, singleKeys: areSingleKeysOn() });
      if (shortcut === null) return;
      // A dialog is a decision of its own; it may show a secret that exists nowhere else.
      if (document.querySelector("dialog[open]")) {
        if (shortcut === "palette") event.preventDefault();
        return;
      }
      event.preventDefault();
      const search = document.querySelector<HTMLElement>('main input[type="search"]');
      if (shortcut === "help") openHelp();
      else if (shortcut === "search" && search) search.focus();
      else openPalette(viewer);
    };
    addEventListener("keydown", follow);
    return () => removeEventListener("keydown", follow);
  }, [viewer]);
}
