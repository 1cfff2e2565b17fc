/** Receives every change as it happens, over one WebSocket, and knows whether it is connected. */

import type { ResultOf } from "gql.tada";
import { createClient, type Client as SocketClient } from "graphql-ws";
import { createStore } from "../lib/store";
import { textOf } from "./graphql";
import { CLIENT_EVENTS } from "./queries";

export type ClientEvent = ResultOf<typeof CLIENT_EVENTS>["clientEvents"];
/** `missed`: events may have been lost, so everything shown must be read again. */
export type News = ClientEvent | "missed";

const SUBSCRIBED_AFTER = 2000;

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

/** Announce a change that this window made to its own pages, without waiting for the server's event. */
export function announceChange(clientId: string): void {
  announce({ kind: "EDITED", clientId, actor: null });
}

/** Start listening. `whenRefused` is called when the server ends the stream: the sign-in may have ended. */
export function startListening(whenRefused: () => void): void {
  if (client) return;
  let wasConnected = false;
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
        if (wasConnected) announce("missed");
        wasConnected = true;
        // Nothing reports when the subscription has begun on the server: events before that are not delivered.
        clearTimeout(begun);
        begun = setTimeout(() => announce("missed"), SUBSCRIBED_AFTER);
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
        if (data) announce(data.clientEvents);
      },
      error: () => retryLater(socket),
      complete: () => retryLater(socket),
    },
  );
}

/** The server ended or refused the stream: check who is signed in, then retry with growing pauses. */
function retryLater(socket: SocketClient): void {
  if (socket !== client) return; // this window stopped it
  liveness.set("connecting");
  ask();
  again = setTimeout(() => socket === client && listen(socket), Math.min(60_000, 3000 * 2 ** refusals));
  refusals += 1;
}

function announce(news: News): void {
  for (const listener of [...listeners]) listener(news);
}

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
