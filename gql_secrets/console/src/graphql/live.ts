/** Hears of every change as it happens, over one WebSocket, and says whether it is hearing. */

import { createClient, type Client as SocketClient } from "graphql-ws";
import { createStore } from "../lib/store";
import type { ResultOf } from "gql.tada";
import { textOf } from "./graphql";
import { CLIENT_EVENTS } from "./queries";

export type ClientEvent = ResultOf<typeof CLIENT_EVENTS>["clientEvents"];
/** `missed`: events may have passed unheard, so everything shown must be read again. */
export type News = ClientEvent | "missed";

const LISTENS_AFTER = 2000;

export const liveness = createStore<"connecting" | "live" | "off">("off");

const listeners = new Set<(news: News) => void>();
let client: SocketClient | undefined;
let again: ReturnType<typeof setTimeout> | undefined;
let begun: ReturnType<typeof setTimeout> | undefined;
let refusals = 0;
let ask: () => void = () => undefined;

export function onNews(listener: (news: News) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Tell this window's own pages of a change that this window made, without waiting for the server's event. */
export function announceChange(clientId: string): void {
  tell({ kind: "EDITED", clientId, actor: null });
}

/** Start hearing. `whenRefused` is called when the server ends the stream: the sign-in may have ended. */
export function startListening(whenRefused: () => void): void {
  if (client) return;
  let heard = false;
  ask = whenRefused;
  liveness.set("connecting");
  client = createClient({
    url: `${location.origin.replace(/^http/, "ws")}/graphql`,
    keepAlive: 12_000,
    retryAttempts: Number.POSITIVE_INFINITY,
    shouldRetry: () => true,
    retryWait: (retries) => pause(Math.min(15_000, 500 * 2 ** retries) * (0.5 + Math.random() / 2)),
    on: {
      connected: () => {
        liveness.set("live");
        if (heard) tell("missed");
        heard = true;
        // Nothing says when the server has begun to listen for us: what happens until then is not told.
        clearTimeout(begun);
        begun = setTimeout(() => tell("missed"), LISTENS_AFTER);
      },
      closed: () => liveness.get() === "live" && liveness.set("connecting"),
    },
  });
  listen(client);
}

export function stopListening(): void {
  clearTimeout(again);
  clearTimeout(begun);
  void client?.dispose();
  client = undefined;
  liveness.set("off");
}

function listen(socket: SocketClient): void {
  socket.subscribe<ResultOf<typeof CLIENT_EVENTS>>(
    { query: textOf(CLIENT_EVENTS) },
    {
      next: ({ data }) => {
        refusals = 0;
        if (data) tell(data.clientEvents);
      },
      error: () => retryLater(socket),
      complete: () => retryLater(socket),
    },
  );
}

/** The server ended the stream, or refused it: ask who is signed in, then try again, less and less often. */
function retryLater(socket: SocketClient): void {
  if (socket !== client) return; // it was stopped by us
  liveness.set("connecting");
  ask();
  again = setTimeout(() => socket === client && listen(socket), Math.min(60_000, 3000 * 2 ** refusals));
  refusals += 1;
}

function tell(news: News): void {
  for (const listener of [...listeners]) listener(news);
}

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
