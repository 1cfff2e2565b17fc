/** The frame of every page: navigation, the viewer, and whether the page is live. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { liveness } from "../graphql/live";
import type { Viewer } from "../graphql/queries";
import { signOut } from "../graphql/session";
import { paletteKeys } from "../lib/keys";
import { OVERVIEW_ADDRESS, useRoute } from "../lib/router";
import { useStore } from "../lib/store";
import { Button } from "../ui/basics";
import { Icon } from "../ui/icons";
import { say } from "../ui/toast";
import { Footer } from "./footer";
import { OfflineBanner } from "./offline";
import { placesFor } from "./places";

interface ShellProps {
  viewer: Viewer | null;
  /** Opens the command palette. */
  onFind: () => void;
  children: ComponentChildren;
}

export function Shell({ viewer, onFind, children }: ShellProps) {
  const { page } = useRoute();
  return (
    <>
      {/* biome-ignore lint/a11y/useValidAnchor: it leads to a place on this page */}
      <a class="skip" href="#content" onClick={skipToContent}>
        Skip to content
      </a>
      <header class="top">
        <div class="top-inner">
          <a class="brand" href={OVERVIEW_ADDRESS}>
            <Sign />
            gql-secrets
          </a>
          {viewer && (
            <nav aria-label="Main">
              {placesFor(viewer).map(({ words, address, pages }) => (
                <a key={address} href={address} aria-current={pages.includes(page) ? "page" : undefined}>
                  {words}
                </a>
              ))}
            </nav>
          )}
          {viewer && <Who viewer={viewer} onFind={onFind} />}
        </div>
      </header>
      {viewer && <OfflineBanner />}
      <main id="content" tabIndex={-1}>
        {children}
      </main>
      {viewer?.roles.includes("ADMIN") && <Footer />}
    </>
  );
}

// The fragment is the console's own address, so a plain link to #content would leave the page.
function skipToContent(event: Event): void {
  event.preventDefault();
  document.getElementById("content")?.focus();
}

function Who({ viewer, onFind }: { viewer: Viewer; onFind: () => void }) {
  const [leaving, setLeaving] = useState(false);
  const leave = () => {
    setLeaving(true);
    signOut()
      .catch(() => say("Could not sign out: the server cannot be reached. Try again."))
      .finally(() => setLeaving(false));
  };
  return (
    <div class="who">
      <button type="button" class="find" aria-keyshortcuts="Control+K Meta+K" onClick={onFind}>
        <Icon name="search" />
        <span class="hidden">Find</span>
        <kbd>{paletteKeys()}</kbd>
      </button>
      <Liveness />
      {/* The widest role comes first; it includes the others. */}
      <span class="who-name">
        {viewer.name} <span class="muted">{viewer.roles[0]?.toLowerCase()}</span>
      </span>
      <Button kind="quiet" onClick={leave} disabled={leaving}>
        Sign out
      </Button>
    </div>
  );
}

function Liveness() {
  const state = useStore(liveness);
  const words = { live: "Live", connecting: "Connecting", off: "Not live" }[state];
  const title = {
    live: "Changes appear here as they happen.",
    connecting: "Connecting for live changes. Until then, this page is refreshed every few seconds.",
    off: "This page is refreshed every few seconds.",
  }[state];
  return (
    <span class={`liveness ${state}`} title={title}>
      <span class="dot" aria-hidden="true" />
      {words}
    </span>
  );
}

export function Sign() {
  return (
    <svg class="sign" viewBox="0 0 32 32" aria-hidden="true">
      <circle class="sign-old" cx="11.5" cy="16" r="8.2" />
      <circle class="sign-new" cx="20.5" cy="16" r="8.2" />
    </svg>
  );
}
