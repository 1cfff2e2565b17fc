/** What one sees without a sign-in. */

import { type Session, checkSession } from "../graphql/session";
import { Button } from "../ui/basics";
import { CopyButton } from "../ui/copy";
import { FailureNote } from "../ui/notes";
import { useTitle } from "./title";
import { Sign } from "./shell";

const COMMAND = "gql-secrets sign-in-link";

const TITLES = { never: "Sign in", expired: "Your sign-in has ended", left: "You are signed out" } as const;

const REASONS = {
  never: "There is no password. A link, good once and for 15 minutes, signs you in.",
  expired: "It ends after 30 minutes without use, after 8 hours, or when an administrator ends it. Nothing was lost.",
  left: "Close this window, or sign in again.",
} as const;

export function SignIn({ why }: { why: (Session & { state: "signed-out" })["why"] }) {
  useTitle(TITLES[why]);
  return (
    <section class="alone">
      <Sign />
      <h1 tabIndex={-1}>{TITLES[why]}</h1>
      <p class="lead">{REASONS[why]}</p>
      <p>On the machine that runs the server, make a sign-in link and open it in this browser:</p>
      <div class="command">
        <code>{COMMAND}</code>
        <CopyButton text={COMMAND} label="Copy" />
      </div>
      <p class="muted">
        The server also prints one when it starts for the first time. Nobody at hand? Ask the people who run gql-secrets
        for a link.
      </p>
      <Button onClick={() => void checkSession()}>I have signed in</Button>
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
