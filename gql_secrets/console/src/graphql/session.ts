/** Who is signed in. The server decides what they may do; here it is only shown. */

import { createStore } from "../lib/store";
import { onSignedOut, RequestFailed, request } from "./client";
import { startListening, stopListening } from "./live";
import { VIEWER, type Viewer } from "./queries";

export type Session =
  | { readonly state: "asking" }
  | { readonly state: "signed-in"; readonly viewer: Viewer }
  | { readonly state: "signed-out"; readonly why: "never" | "expired" | "left" }
  | { readonly state: "unreachable"; readonly failure: RequestFailed };

export const session = createStore<Session>({ state: "asking" });

/** Ask who is signed in, and start or stop everything that depends on it. */
export async function checkSession(): Promise<void> {
  try {
    const { viewer, revision } = (await request(VIEWER, {})).data;
    if (!viewer) return forget();
    const before = session.get();
    // The same viewer must be the same object, or every check would redraw the whole page.
    const same = before.state === "signed-in" && JSON.stringify(before.viewer) === JSON.stringify(viewer);
    if (!same) session.set({ state: "signed-in", viewer });
    // Every page asks for its data later than this, so nothing is missed between its answer and the first event.
    startListening(revision, checkSession);
  } catch (failure) {
    // A page that was read before stays visible; a page that shows nothing yet must say why.
    const nothingShown = session.get().state === "asking" || session.get().state === "unreachable";
    if (nothingShown && failure instanceof RequestFailed && failure.kind !== "signed-out") {
      session.set({ state: "unreachable", failure });
    }
  }
}

/** End the session here and on the server. */
export async function signOut(): Promise<void> {
  const answer = await fetch("/sign-out", { method: "POST", credentials: "same-origin", redirect: "manual" });
  if (!answer.ok && answer.type !== "opaqueredirect") throw new RequestFailed("failed", "Could not sign out.");
  stopListening();
  session.set({ state: "signed-out", why: "left" });
  if (answer.status === 200) {
    const { location: page } = (await answer.json()) as { location: string };
    location.assign(page); // the identity provider's own page for signing out
  }
}

function forget(): void {
  const before = session.get();
  stopListening();
  if (before.state === "signed-out") return;
  session.set({ state: "signed-out", why: before.state === "signed-in" ? "expired" : "never" });
}

onSignedOut(forget);
