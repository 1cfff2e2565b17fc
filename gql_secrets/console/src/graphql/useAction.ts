/** Runs one change at a time and keeps its outcome. */

import { useCallback, useRef, useState } from "preact/hooks";
import { RequestFailed } from "./client";

export interface Action {
  readonly run: (act: () => Promise<void>) => void;
  readonly pending: boolean;
  readonly failure: RequestFailed | null;
}

export function useAction(): Action {
  const [pending, setPending] = useState(false);
  const [failure, setFailure] = useState<RequestFailed | null>(null);
  // State is updated with the next render; a double click is faster.
  const running = useRef(false);
  const run = useCallback((act: () => Promise<void>) => {
    if (running.current) return;
    running.current = true;
    setPending(true);
    setFailure(null);
    act()
      .catch((failed: unknown) => {
        setFailure(failed instanceof RequestFailed ? failed : new RequestFailed("failed", String(failed)));
      })
      .finally(() => {
        running.current = false;
        setPending(false);
      });
  }, []);
  return { run, pending, failure };
}
