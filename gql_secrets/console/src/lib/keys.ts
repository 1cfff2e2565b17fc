/** The console's keyboard shortcuts. Those of a single character can be turned off, as speech input needs. */

const SINGLE_KEYS = "gql-secrets:single-keys";

const isMac = (): boolean => /mac|iphone|ipad/i.test(globalThis.navigator?.platform ?? "");

/** The palette's shortcut as it is written on this machine's keyboard. */
export const paletteKeys = (): string => (isMac() ? "⌘K" : "Ctrl+K");

export function areSingleKeysOn(): boolean {
  try {
    return localStorage.getItem(SINGLE_KEYS) !== "off";
  } catch {
    return true; // a browser may keep nothing
  }
}

export function turnSingleKeys(on: boolean): void {
  try {
    if (on) localStorage.removeItem(SINGLE_KEYS);
    else localStorage.setItem(SINGLE_KEYS, "off");
  } catch {
    // They stay as they are in the next window.
  }
}

export type Shortcut = "palette" | "search" | "help";

interface Pressed {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly shiftKey: boolean;
  readonly repeat: boolean;
}

/** The shortcut that a key means; `typing`: the key goes into a field. */
export function shortcutOf(pressed: Pressed, { typing, singleKeys }: { typing: boolean; singleKeys: boolean }) {
  const { key, ctrlKey, metaKey, altKey, shiftKey, repeat } = pressed;
  if (repeat || altKey) return null;
  if (key.toLowerCase() === "k" && ctrlKey !== metaKey && !shiftKey) return "palette" satisfies Shortcut;
  if (ctrlKey || metaKey || typing || !singleKeys) return null;
  if (key === "/") return "search" satisfies Shortcut;
  return key === "?" ? ("help" satisfies Shortcut) : null;
}
