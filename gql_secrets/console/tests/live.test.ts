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
  readonly sent: { readonly id?: string; readonly type: string; readonly payload?: { readonly variables: object } }[] =
    [];

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
    return this.subscribing?.id ?? "";
  }

  get variables(): object | undefined {
    return this.subscribing?.payload?.variables;
  }

  private get subscribing() {
    return this.sent.find((message) => message.type === "subscribe");
  }
}

/** In steps: on a busy machine one time-out is over before what it waits for has made all of its own. */
async function soon(milliseconds = 50): Promise<void> {
  for (let step = 0; step < 10; step += 1) await new Promise((resolve) => setTimeout(resolve, milliseconds / 10));
}

async function listening(): Promise<{ socket: FakeSocket; news: News[]; asked: () => number; stop: () => void }> {
  Object.assign(globalThis, { WebSocket: FakeSocket, location: { origin: "https://secrets.example" } });
  FakeSocket.made.length = 0;
  const news: News[] = [];
  let asked = 0;
  const forget = onNews((each) => news.push(each));
  const ask = async () => {
    asked += 1;
    startListening(7 + asked, ask);
  };
  startListening(7, ask);
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
    const event = { kind: "RESET", revision: 8, clientId: "a1", actor: "user:Ada" };
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
    assert.deepEqual(news, [{ kind: "EDITED", revision: null, clientId: "a1", actor: null }]);
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

test("the subscription begins after what was read, so nothing is read twice", async () => {
  const { socket, news, stop } = await listening();
  try {
    assert.deepEqual(socket.variables, { after: 7 });
    await soon(2100);
    assert.deepEqual(news, []);
  } finally {
    stop();
  }
});

test("a new connection resumes after the last event, and everything is read again for the uses", async () => {
  const { socket, news, stop } = await listening();
  try {
    const event = { kind: "RESET", revision: 9, clientId: "a1", actor: "user:Ada" };
    socket.answer({ id: socket.subscription, type: "next", payload: { data: { clientEvents: event } } });
    const use = { kind: "FIRST_USED", revision: null, clientId: "a1", actor: null };
    socket.answer({ id: socket.subscription, type: "next", payload: { data: { clientEvents: use } } });
    await soon();
    socket.close(1012);
    await soon(1200);
    assert.deepEqual(FakeSocket.made[1]?.variables, { after: 9 });
    assert.deepEqual(news, [event, use, "missed"]);
  } finally {
    stop();
  }
});

test("after the server ended the stream, it resumes after what is read again", async () => {
  const { socket, news, stop } = await listening();
  try {
    socket.answer({ id: socket.subscription, type: "error", payload: [{ message: "Too many events." }] });
    await soon(3500);
    assert.deepEqual(FakeSocket.made[1]?.variables, { after: 8 });
    assert.deepEqual(news, ["missed"]);
  } finally {
    stop();
  }
});
