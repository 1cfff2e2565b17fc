/** What the page on the screen offers to do: its buttons, for the command palette. */

import { useEffect, useRef } from "preact/hooks";

export interface Command {
  readonly words: string;
  readonly run: () => void;
}

const registered = new Set<() => readonly Command[]>();

/** Offer these commands as long as this part of the page is shown; `null` and `false` are left out. */
export function useCommands(commands: readonly (Command | null | false)[]): void {
  const latest = useRef(commands);
  latest.current = commands;
  useEffect(() => {
    const read = () => latest.current.filter((each): each is Command => Boolean(each));
    registered.add(read);
    return () => {
      registered.delete(read);
    };
  }, []);
}

export const commandsNow = (): readonly Command[] => [...registered].flatMap((read) => read());
