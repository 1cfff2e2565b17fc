/** Receives every change as it happens, over one WebSocket, and knows whether it is connected. */

import type { ResultOf } from "gql.tada";
import { createClient, type Client as SocketClient } from "graphql-ws";
import { createStore } from "../lib/store";
import { textOf } from "./graphql";
import { CLIENT_EVENTS } from "./queries";

export type ClientEvent = ResultOf<typeof CLIENT_EVENTS>["clientEvents"];
/** `missed`: events may have been lost, so everything shown must be read again. */
export type News = ClientEvent | "missed";

export const liveness = createStore<"connecting" | "live" | "off">("off");

const listeners = new Set<(news: News) => void>();
let client: SocketClient | undefined;
let again: ReturnType<typeof setTimeout> | undefined;
let refusals = 0;
let ask: () => Promise<void> = async () => undefined;
/** The latest revision that the server returned, and the one whose changes everything shown has at least. */
let asked: number | null = null;
let known: number | null = null;

export function onNews(listener: (news: News) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Announce a change that this window made to its own pages, without waiting for the server's event. */
export function announceChange(clientId: string): void {
  announce({ kind: "EDITED", revision: null, clientId, actor: null });
}

/**
 * Start listening to every change after a revision, which was read before everything that is shown.
 * `whenRefused` is called when the server ends the stream: the sign-in may have ended. It calls this again.
 */
export function startListening(revision: number | null, whenRefused: () => Promise<void>): void {
  asked = revision;
  if (client) return;
  known = revision;
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
        // The changes since then follow, but not the uses.
        if (wasConnected) announce("missed");
        wasConnected = true;
      },
      closed: () => liveness.get() === "live" && liveness.set("connecting"),
    },
  });
  listen(client);
}

export function stopListening(): void {
  clearTimeout(again);
  void client?.dispose();
  client = undefined;
  liveness.set("off");
}

function listen(socket: SocketClient): void {
  socket.subscribe<ResultOf<typeof CLIENT_EVENTS>>(
    // A getter, because the same message is sent after every new connection.
    {
      query: textOf(CLIENT_EVENTS),
      variables: {
        get after() {
          return known;
        },
      },
    },
    {
      next: ({ data }) => {
        refusals = 0;
        if (!data) return;
        known = data.clientEvents.revision ?? known;
        announce(data.clientEvents);
      },
      error: () => retryLater(socket),
      complete: () => retryLater(socket),
    },
  );
}

/** The server ended or refused the stream: check who is signed in, then connect again, with growing pauses. */
function retryLater(socket: SocketClient): void {
  if (socket !== client) return; // this window stopped it
  liveness.set("connecting");
  const checked = ask();
  const listenAgain = async () => {
    await checked;
    if (socket !== client) return;
    known = asked; // everything is read again as soon as it is connected
    listen(socket);
  };
  again = setTimeout(listenAgain, Math.min(60_000, 3000 * 2 ** refusals));
  refusals += 1;
}

function announce(news: News): void {
  for (const listener of [...listeners]) listener(news);
}

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
