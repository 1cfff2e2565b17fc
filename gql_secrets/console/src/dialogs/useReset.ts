/** Sends a reset, and keeps what came of it: the new secret, a question, a refusal, or no response. */

import { useRef, useState } from "preact/hooks";
import { RequestFailed, request } from "../graphql/client";
import { announceChange } from "../graphql/live";
import { type Problem, RESET_SECRET, type ResetResult } from "../graphql/mutations";
import type { ClientView } from "../graphql/queries";
import { useAction } from "../graphql/useAction";
import { rememberGeneration } from "../lib/generations";
import { newIdempotencyKey } from "../lib/random";
import { changeOf } from "./conflict";

/** What was asked for: kept as it was sent, so that a retry asks for the same thing. */
export interface Wish {
  readonly hoursToLive: number;
  readonly endActiveRollover: boolean;
  readonly ifGeneration: number;
  readonly reason: string | null;
}

interface Refusal {
  readonly problems: readonly Problem[];
  readonly requestId: string | null;
}

export interface Reset {
  /** The client as the server last described it. */
  readonly client: ClientView;
  readonly send: (wish: Wish) => void;
  readonly pending: boolean;
  readonly failure: RequestFailed | null;
  readonly result: ResetResult | null;
  /** The reset that would end a secret of a rollover. */
  readonly question: Wish | null;
  readonly withdrawQuestion: () => void;
  /** The reset that may have happened: only the same request may be sent again. */
  readonly unanswered: Wish | null;
  /** What somebody else changed since the dialog was opened. */
  readonly news: string | null;
  readonly refusal: Refusal | null;
}

/** `onBadHours` gets the message where the server refuses the retention period. */
export function useReset(opened: ClientView, onBadHours: (message: string) => void): Reset {
  const [client, setClient] = useState(opened);
  const [news, setNews] = useState<string | null>(null);
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const [unanswered, setUnanswered] = useState<Wish | null>(null);
  const [question, setQuestion] = useState<Wish | null>(null);
  const [result, setResult] = useState<ResetResult | null>(null);
  const { run, pending, failure } = useAction();
  // One dialog is one intention: a double click or a retry is still one reset.
  const idempotencyKey = useRef(newIdempotencyKey()).current;

  const send = (wish: Wish) =>
    run(async () => {
      setRefusal(null);
      setNews(null);
      try {
        const variables = { clientId: client.clientId, idempotencyKey, ...wish };
        const { data, requestId } = await request(RESET_SECRET, variables);
        setUnanswered(null);
        take(wish, data.resetSecret, requestId);
      } catch (failed) {
        // No answer: the reset may have happened. From now on only the same request may be sent.
        if (failed instanceof RequestFailed && failed.kind === "unreachable") setUnanswered(wish);
        throw failed;
      }
    });

  const take = (wish: Wish, answer: ResetResult | null, requestId: string | null) => {
    if (!answer) throw new RequestFailed("failed", "The server returned no result.", requestId);
    if (answer.newSecret) {
      setResult(answer);
      if (answer.client) rememberGeneration(answer.client);
      announceChange(client.clientId);
      return;
    }
    if (answer.userErrors.some((problem) => problem.code === "ROLLOVER_IN_PROGRESS")) {
      if (answer.client) setClient(answer.client);
      return setQuestion(wish);
    }
    setQuestion(null);
    const hours = answer.userErrors.find((problem) => problem.code === "INVALID_HOURS_TO_LIVE");
    if (hours && wish.hoursToLive > 0) onBadHours(hours.message);
    else if (answer.userErrors.some((problem) => problem.code === "CONFLICT")) {
      // Somebody was faster: say who did what, and go on from there.
      setNews(changeOf(client, answer.client));
      if (answer.client) setClient(answer.client);
    } else setRefusal({ problems: answer.userErrors, requestId });
  };

  const withdrawQuestion = () => setQuestion(null);
  return { client, send, pending, failure, result, question, withdrawQuestion, unanswered, news, refusal };
}
