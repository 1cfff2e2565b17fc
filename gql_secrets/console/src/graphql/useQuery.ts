/** Keeps the result of a query up to date while it is on the screen. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { isAttended } from "../lib/attention";
import { useStore } from "../lib/store";
import { type Answer, RequestFailed, request } from "./client";
import type { Document } from "./graphql";
import { liveness, type News, onNews } from "./live";

/** The server gathers uses for a while before it writes them, so polling more often would show nothing new. */
const POLL_LIVE = 20_000;
const POLL_OTHERWISE = 8_000;
const GATHER_NEWS = 120;
const NEVER: readonly number[] = [];

export interface Asked<Result> {
  readonly answer: Answer<Result> | null;
  readonly failure: RequestFailed | null;
  /** The result shown is that of earlier variables; the new one is on its way. */
  readonly waiting: boolean;
  readonly reload: () => void;
}

interface Options {
  /** Whether an event concerns what is shown. */
  readonly follow: (news: Exclude<News, "missed">) => boolean;
  readonly poll?: boolean;
  /** After how many milliseconds to ask again, where the server may at first answer with what was true before. */
  readonly again?: readonly number[];
}

export function useQuery<Result, Variables>(
  document: Document<Result, Variables>,
  variables: Variables,
  { follow, poll = true, again = NEVER }: Options,
): Asked<Result> {
  const key = JSON.stringify(variables);
  const [shown, setShown] = useState<{ key: string; answer: Answer<Result> } | null>(null);
  const [failure, setFailure] = useState<RequestFailed | null>(null);
  const [reloads, setReloads] = useState(0);
  const running = useRef<{ again: boolean } | null>(null);
  /** Ask now: an answer that is on its way may never come. */
  const restart = useCallback(() => setReloads((count) => count + 1), []);
  /** Ask as soon as nothing is on its way: where answers are slow and news frequent, none would ever come. */
  const reload = useCallback(() => {
    if (running.current) running.current.again = true;
    else restart();
  }, [restart]);
  const live = useStore(liveness) === "live";

  useEffect(() => {
    const asking = new AbortController();
    const mine = { again: false };
    running.current = mine;
    request(document, variables, asking.signal)
      .then(
        (answer) => {
          if (asking.signal.aborted) return;
          setShown({ key, answer });
          setFailure(null);
        },
        (failed: unknown) => {
          if (asking.signal.aborted) return;
          setFailure(failed instanceof RequestFailed ? failed : new RequestFailed("failed", String(failed)));
        },
      )
      .finally(() => {
        if (running.current !== mine) return;
        running.current = null;
        if (mine.again) restart();
      });
    return () => {
      asking.abort();
      if (running.current === mine) running.current = null;
    };
  }, [document, key, reloads]);

  // Polling does not help where the viewer lacks the permission.
  const polling = poll && !shown?.answer.denied.size;
  const concerns = useRef(follow);
  concerns.current = follow;
  useEffect(() => {
    let gathering: ReturnType<typeof setTimeout> | undefined;
    let later: ReturnType<typeof setTimeout>[] = [];
    const stop = onNews((news) => {
      if (news === "missed") return restart();
      if (!concerns.current(news)) return;
      gathering ??= setTimeout(() => {
        gathering = undefined;
        reload();
      }, GATHER_NEWS);
      later.forEach(clearTimeout);
      later = again.map((delay) => setTimeout(reload, delay));
    });
    return () => {
      clearTimeout(gathering);
      later.forEach(clearTimeout);
      stop();
    };
  }, [reload, restart, again]);

  useEffect(() => {
    addEventListener("online", restart);
    const asking = polling ? setInterval(() => isAttended() && reload(), live ? POLL_LIVE : POLL_OTHERWISE) : undefined;
    return () => {
      removeEventListener("online", restart);
      clearInterval(asking);
    };
  }, [live, polling, reload, restart]);

  return { answer: shown?.answer ?? null, failure, waiting: shown?.key !== key && !failure, reload };
}
