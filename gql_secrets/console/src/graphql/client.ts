/** Sends one GraphQL operation to the server; failures have a form that can be shown. */

import { learnServerTime } from "../lib/clock";
import { type Document, textOf } from "./graphql";

const ENDPOINT = "/graphql";
const MAX_SECONDS = 30;

/**
 * - `unreachable`: no conclusive response, so a change may or may not have happened
 * - `signed-out`: nobody is signed in, or no longer
 * - `forbidden`: the viewer may not do this
 * - `failed`: the server refused, or could not do it
 */
export type FailureKind = "unreachable" | "signed-out" | "forbidden" | "failed";

export class RequestFailed extends Error {
  constructor(
    readonly kind: FailureKind,
    message: string,
    readonly requestId: string | null = null,
  ) {
    super(message);
  }
}

interface ServerError {
  readonly message: string;
  readonly path?: readonly (string | number)[];
  readonly extensions?: { readonly code?: string; readonly requestId?: string };
}

export interface Answer<Result> {
  readonly data: Result;
  /** Names of the fields that this viewer may not see; they are null in the data. */
  readonly denied: ReadonlySet<string>;
  readonly requestId: string | null;
}

type SignedOutListener = () => void;
const signedOutListeners = new Set<SignedOutListener>();

export function onSignedOut(listener: SignedOutListener): void {
  signedOutListeners.add(listener);
}

export async function request<Result, Variables>(
  document: Document<Result, Variables>,
  variables: Variables,
  signal?: AbortSignal,
): Promise<Answer<Result>> {
  const askedAt = Date.now();
  const response = await post(document, variables, signal);
  const requestId = response.headers.get("X-Request-Id");
  const body = await readBody<Result>(response, requestId, signal);
  const errors = body.errors ?? [];
  const id = errors.find((error) => error.extensions?.requestId)?.extensions?.requestId ?? requestId;

  if (response.status === 401 || errors.some((error) => error.extensions?.code === "UNAUTHENTICATED")) {
    for (const listener of signedOutListeners) listener();
    throw new RequestFailed("signed-out", "Your sign-in has ended.", id);
  }
  if (response.status >= 500) {
    throw new RequestFailed("unreachable", errors[0]?.message ?? unreadable(response), id);
  }
  const serious = errors.filter((error) => error.extensions?.code !== "FORBIDDEN");
  const [first] = serious.length > 0 ? serious : errors;
  const empty = !body.data || Object.values(body.data).every((value) => value === null);
  if (first && (serious.length > 0 || empty)) {
    throw new RequestFailed(serious.length > 0 ? "failed" : "forbidden", first.message, id);
  }
  if (!body.data) throw new RequestFailed("failed", `The server responded with status ${response.status}.`, id);

  const { serverTime } = body.data as { serverTime?: string };
  if (serverTime) learnServerTime(serverTime, askedAt, Date.now());
  const denied = new Set(errors.map((error) => String(error.path?.at(-1))));
  return { data: body.data, denied, requestId: id };
}

async function post(document: object, variables: unknown, signal?: AbortSignal): Promise<Response> {
  const patience = AbortSignal.timeout(MAX_SECONDS * 1000);
  try {
    return await fetch(ENDPOINT, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ query: textOf(document), variables }),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
  } catch (failure) {
    throw unlessAborted(failure, signal);
  }
}

interface Body<Result> {
  readonly data?: Result | null;
  readonly errors?: readonly ServerError[];
}

async function readBody<Result>(
  response: Response,
  requestId: string | null,
  signal?: AbortSignal,
): Promise<Body<Result>> {
  let text: string;
  try {
    text = await response.text();
  } catch (failure) {
    throw unlessAborted(failure, signal);
  }
  try {
    return JSON.parse(text) as Body<Result>;
  } catch {
    // A proxy's error page, or an incomplete response: whether a change happened is unknown.
    const sentence = response.headers.get("Content-Type")?.startsWith("text/plain") && text.length < 200;
    throw new RequestFailed("unreachable", sentence ? text : unreadable(response), requestId);
  }
}

const unreadable = ({ status }: Response): string => `The server’s response could not be read (status ${status}).`;

function unlessAborted(failure: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted) return failure;
  return new RequestFailed("unreachable", navigator.onLine ? "The server cannot be reached." : "You are offline.");
}
