/** Chooses the page: by who is signed in, then by the address. */

import { useEffect, useRef } from "preact/hooks";
import { AppsPage } from "./apps/page";
import { ClientPage } from "./client/page";
import { type Session, checkSession, session } from "./graphql/session";
import { useRoute } from "./lib/router";
import { useStore } from "./lib/store";
import { SignIn, Unreachable } from "./shell/signin";
import { Shell } from "./shell/shell";
import { Loading } from "./ui/basics";
import { DialogHost } from "./ui/dialog";
import { Toast } from "./ui/toast";

const ASK_AGAIN_AFTER = 5000;

export function App() {
  const now = useStore(session);
  useReturn(now);
  return (
    <>
      <Shell viewer={now.state === "signed-in" ? now.viewer : null}>
        <Content now={now} />
      </Shell>
      <DialogHost />
      <Toast />
    </>
  );
}

function Content({ now }: { now: Session }) {
  const route = useRoute();
  useFocusOnArrival(now.state === "asking" ? null : JSON.stringify([now.state, route]));
  switch (now.state) {
    case "asking":
      return (
        <>
          <h1 class="hidden">gql-secrets</h1>
          <Loading what="the console" />
        </>
      );
    case "unreachable":
      return <Unreachable failure={now.failure} />;
    case "signed-out":
      return <SignIn why={now.why} />;
    case "signed-in":
      return route.page === "apps" ? (
        <AppsPage viewer={now.viewer} />
      ) : (
        <ClientPage key={route.clientId} clientId={route.clientId} />
      );
  }
}

/** A new page begins at its heading, for keyboards and screen readers too; the first one begins where browsers begin. */
function useFocusOnArrival(place: string | null): void {
  const arrived = useRef(false);
  useEffect(() => {
    if (place === null) return;
    if (arrived.current && !document.querySelector("dialog[open]")) {
      scrollTo(0, 0);
      document.querySelector<HTMLElement>("h1, main")?.focus({ preventScroll: true });
    }
    arrived.current = true;
  }, [place]);
}

/** Somebody may have signed in in another window, or the server may be back. */
function useReturn(now: Session): void {
  useEffect(() => {
    if (now.state !== "signed-out" && now.state !== "unreachable") return undefined;
    const ask = () => void checkSession();
    addEventListener("focus", ask);
    const asking = now.state === "unreachable" ? setInterval(ask, ASK_AGAIN_AFTER) : undefined;
    return () => {
      removeEventListener("focus", ask);
      clearInterval(asking);
    };
  }, [now.state]);
}
