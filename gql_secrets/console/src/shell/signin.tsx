/** What people see without a sign-in. */

import { useEffect, useState } from "preact/hooks";
import { checkSession, type Session, session } from "../graphql/session";
import { Button } from "../ui/basics";
import { CopyButton } from "../ui/copy";
import { FailureNote } from "../ui/notes";
import { type Provider, readProviders, renewSilently, startOf } from "./providers";
import { Sign } from "./shell";
import { useTitle } from "./title";

const COMMAND = "gql-secrets sign-in-link";

const TITLES = { never: "Sign in", expired: "Your sign-in has ended", left: "You are signed out" } as const;

const REASONS = {
  never: "Sign in with a one-time link. It is valid for 15 minutes.",
  expired: "A session ends after 30 minutes without use, and after 8 hours at most. Your data is safe.",
  left: "Close this window, or sign in again with a one-time link.",
} as const;

const REASONS_WITH_PROVIDER = {
  never: "Sign in with your identity provider.",
  expired: "A session ends after 30 minutes without use, and after 8 hours at most. Your data is safe.",
  left: "Close this window, or sign in again.",
} as const;

export function SignIn({ why }: { why: (Session & { state: "signed-out" })["why"] }) {
  useTitle(TITLES[why]);
  const [missing, setMissing] = useState(false);
  const [providers, setProviders] = useState<readonly Provider[]>([]);
  useEffect(() => {
    void readProviders().then(setProviders);
    if (why === "expired") void renewSilently();
  }, [why]);
  const proceed = async () => {
    setMissing(false);
    await checkSession();
    setMissing(session.get().state === "signed-out");
  };
  return (
    <section class="alone">
      <Sign />
      <h1 tabIndex={-1}>{TITLES[why]}</h1>
      <p class="lead">{providers.length > 0 ? REASONS_WITH_PROVIDER[why] : REASONS[why]}</p>
      {providers.map(({ name, issuer }) => (
        <p key={issuer}>
          <a class="button primary" href={startOf(issuer)}>
            Sign in with {name}
          </a>
        </p>
      ))}
      {providers.length > 0 && <p class="muted">Or sign in with a one-time link.</p>}
      <p>On the machine that runs the server, create a sign-in link and open it in this browser:</p>
      <div class="command">
        <code>{COMMAND}</code>
        <CopyButton text={COMMAND} label="Copy" />
      </div>
      <p class="muted">
        The server also prints a link when it starts for the first time. No access to the server? Ask an administrator
        for a link.
      </p>
      <Button onClick={() => void proceed()}>Continue</Button>
      <p role="status">{missing && "You are not signed in yet. Open a sign-in link in this browser first."}</p>
    </section>
  );
}

export function Unreachable({ failure }: { failure: (Session & { state: "unreachable" })["failure"] }) {
  useTitle("No connection");
  return (
    <section class="alone">
      <Sign />
      <h1 tabIndex={-1}>No connection</h1>
      <FailureNote failure={failure} retry={() => void checkSession()} />
    </section>
  );
}
