/** Chooses the page: first by who is signed in, then by the address. */

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { ActivityPage } from "./activity/page";
import { AppsPage } from "./apps/page";
import { ClientPage } from "./client/page";
import { checkSession, type Session, session } from "./graphql/session";
import { OVERVIEW_ADDRESS, onNavigation, useRoute } from "./lib/router";
import { useStore } from "./lib/store";
import { OverviewPage } from "./overview/page";
import { openPalette, useShortcuts } from "./palette/keys";
import { PeoplePage } from "./people/page";
import { Shell, Sign } from "./shell/shell";
import { SignIn, Unreachable } from "./shell/signin";
import { useTitle } from "./shell/title";
import { Loading } from "./ui/bones";
import { closeUnlessKept, DialogHost } from "./ui/dialog";
import { Toast } from "./ui/toast";
import { WebhooksPage } from "./webhooks/page";

const ASK_AGAIN_AFTER = 5000;

/** Where each page was scrolled to, for the way back to it. */
const scrolled = new Map<string, number>();

export function App() {
  const now = useStore(session);
  useReturn(now);
  const viewer = now.state === "signed-in" ? now.viewer : null;
  useShortcuts(viewer);
  // A dialog about a page that is gone would change what nobody sees.
  useEffect(() => onNavigation(closeUnlessKept), []);
  useEffect(() => {
    if (now.state === "signed-out") closeUnlessKept();
  }, [now.state]);
  return (
    <>
      <Shell viewer={viewer} onFind={() => viewer && openPalette(viewer)}>
        <Content now={now} />
      </Shell>
      <DialogHost />
      <Toast />
    </>
  );
}

function Content({ now }: { now: Session }) {
  const route = useRoute();
  useFocusOnArrival(
    now.state === "asking" ? null : `${now.state} ${route.page} ${route.page === "client" ? route.clientId : ""}`,
  );
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
      switch (route.page) {
        case "overview":
          return <OverviewPage viewer={now.viewer} />;
        case "apps":
          return <AppsPage viewer={now.viewer} view={route.view} />;
        case "client":
          return <ClientPage key={route.clientId} clientId={route.clientId} viewer={now.viewer} />;
        case "activity":
          return <ActivityPage view={route.view} />;
        case "people":
          return <PeoplePage viewer={now.viewer} />;
        case "webhooks":
          return <WebhooksPage />;
        case "unknown":
          return <UnknownPage />;
      }
  }
}

function UnknownPage() {
  useTitle("Page not found");
  return (
    <section class="alone">
      <Sign />
      <h1 tabIndex={-1}>Page not found</h1>
      <p class="lead">There is no page at this address.</p>
      <p>
        <a href={OVERVIEW_ADDRESS}>Go to the overview</a>
      </p>
    </section>
  );
}

/** A new page begins at its heading, for keyboards and screen readers too; the first page begins where browsers begin. */
function useFocusOnArrival(place: string | null): void {
  const arrived = useRef(false);
  // Before the browser draws the new page: that one may be shorter, which would change where the old one was left.
  useLayoutEffect(() => {
    if (place === null) return undefined;
    let stop = () => {};
    if (arrived.current && !document.querySelector("dialog[open]")) {
      stop = scrollBackTo(scrolled.get(place) ?? 0);
      const heading = document.querySelector<HTMLElement>("h1") ?? document.getElementById("content");
      heading?.focus({ preventScroll: true });
    }
    arrived.current = true;
    const remember = () => scrolled.set(place, scrollY);
    addEventListener("scrollend", remember);
    return () => {
      stop();
      removeEventListener("scrollend", remember);
    };
  }, [place]);
}

/** Scroll to where a page was left, as soon as it is long enough again, unless the reader scrolls first. */
function scrollBackTo(top: number): () => void {
  const stopping = new AbortController();
  const growing = new ResizeObserver(() => {
    scrollTo(0, top);
    if (scrollY >= top - 1) stopping.abort();
  });
  stopping.signal.addEventListener("abort", () => growing.disconnect());
  for (const event of ["wheel", "touchmove", "keydown", "pointerdown"]) {
    addEventListener(event, () => stopping.abort(), { signal: stopping.signal, passive: true });
  }
  scrollTo(0, top);
  if (scrollY < top - 1) growing.observe(document.body);
  else stopping.abort();
  return () => stopping.abort();
}

/** Somebody may have signed in in another window, or the server may be back. */
function useReturn(now: Session): void {
  useEffect(() => {
    if (now.state !== "signed-out" && now.state !== "unreachable") return undefined;
    const ask = () => void checkSession();
    const look = () => document.visibilityState === "visible" && ask();
    addEventListener("focus", ask);
    document.addEventListener("visibilitychange", look);
    const asking = now.state === "unreachable" ? setInterval(ask, ASK_AGAIN_AFTER) : undefined;
    return () => {
      removeEventListener("focus", ask);
      document.removeEventListener("visibilitychange", look);
      clearInterval(asking);
    };
  }, [now.state]);
}
