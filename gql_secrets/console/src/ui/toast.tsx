/** One sentence about what was just done, announced to screen readers too. */

import { useEffect } from "preact/hooks";
import { createStore, useStore } from "../lib/store";
import { Icon } from "./icons";

const said = createStore<string | null>(null);

export function say(sentence: string): void {
  said.set(null); // the same sentence twice is announced twice
  said.set(sentence);
}

export function Toast() {
  const sentence = useStore(said);
  useEffect(() => {
    if (!sentence) return undefined;
    const timer = setTimeout(() => said.set(null), 7000);
    return () => clearTimeout(timer);
  }, [sentence]);
  return (
    <div class="toast" role="status">
      {sentence && (
        <p>
          <Icon name="check" />
          {sentence}
        </p>
      )}
    </div>
  );
}
