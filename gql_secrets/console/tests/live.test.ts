import assert from "node:assert/strict";
import { test } from "node:test";
import { announceChange, liveness, type News, onNews, startListening, stopListening } from "../src/graphql/live";

/** A WebSocket of a server that accepts every subscription, as far as graphql-ws looks at one. */
class FakeSocket {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;
  static readonly made: FakeSocket[] = [];
  readyState = FakeSocket.CONNECTING;
  onopen?: () => void;
  onmessage?: (event: { data: string }) => void;
  onclose?: (event: object) => void;
  onerror?: (event: object) => void;
  readonly sent: { readonly id?: string; readonly type: string }[] = [];

  constructor(readonly url: string) {
    FakeSocket.made.push(this);
    setTimeout(() => {
      this.readyState = FakeSocket.OPEN;
      this.onopen?.();
    });
  }

  send(text: string): void {
    const message = JSON.parse(text);
    this.sent.push(message);
    if (message.type === "connection_init") this.answer({ type: "connection_ack" });
  }

  answer(message: object): void {
    setTimeout(() => this.onmessage?.({ data: JSON.stringify(message) }));
  }

  close(code = 1000, reason = ""): void {
    this.readyState = FakeSocket.CLOSED;
    setTimeout(() => this.onclose?.({ code, reason, wasClean: true }));
  }

  get subscription(): string {
    return this.sent.find((message) => message.type === "subscribe")?.id ?? "";
  }
}

const soon = (milliseconds = 50) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function listening(): Promise<{ socket: FakeSocket; news: News[]; asked: () => number; stop: () => void }> {
  Object.assign(globalThis, { WebSocket: FakeSocket, location: { origin: "https://secrets.example" } });
  FakeSocket.made.length = 0;
  const news: News[] = [];
  let asked = 0;
  const forget = onNews((each) => news.push(each));
  startListening(() => {
    asked += 1;
  });
  await soon();
  const [socket] = FakeSocket.made;
  assert.ok(socket);
  const stop = () => {
    forget();
    stopListening();
  };
  return { socket, news, asked: () => asked, stop };
}

test("an event of the server reaches every listener", async () => {
  const { socket, news, stop } = await listening();
  try {
    assert.equal(socket.url, "wss://secrets.example/graphql");
    assert.equal(liveness.get(), "live");
    const event = { kind: "RESET", clientId: "a1", actor: "user:Ada" };
    socket.answer({ id: socket.subscription, type: "next", payload: { data: { clientEvents: event } } });
    await soon();
    assert.deepEqual(news, [event]);
  } finally {
    stop();
  }
});

test("a change of this window is announced without the server", async () => {
  const { news, stop } = await listening();
  try {
    announceChange("a1");
    assert.deepEqual(news, [{ kind: "EDITED", clientId: "a1", actor: null }]);
  } finally {
    stop();
  }
});

test("when the server ends the stream, the session is checked: the sign-in may have ended", async () => {
  const { socket, asked, stop } = await listening();
  try {
    socket.answer({ id: socket.subscription, type: "complete" });
    await soon();
    assert.equal(asked(), 1);
    assert.equal(liveness.get(), "connecting");
  } finally {
    stop();
  }
  assert.equal(liveness.get(), "off");
});

test("what happened before the server had begun to listen is read again", async () => {
  const { news, stop } = await listening();
  try {
    await soon(2100);
    assert.deepEqual(news, ["missed"]);
  } finally {
    stop();
  }
});
