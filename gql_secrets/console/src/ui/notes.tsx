/** What went wrong, and what to do next. */

import type { ComponentChildren } from "preact";
import type { RequestFailed } from "../graphql/client";
import type { Problem } from "../graphql/mutations";
import type { Asked } from "../graphql/useQuery";
import { serverNow } from "../lib/clock";
import { withLocalInstants } from "../lib/format";
import { Button, type Tone } from "./basics";
import { Icon, type IconName } from "./icons";

const ICONS: Record<Tone, IconName> = { good: "check", warn: "warn", bad: "warn", calm: "info", live: "clock" };

export function Note({ tone, title, children }: { tone: Tone; title?: string; children?: ComponentChildren }) {
  return (
    <div class={`note ${tone}`}>
      <Icon name={ICONS[tone]} />
      <div>
        {title && <p class="note-title">{title}</p>}
        {children}
      </div>
    </div>
  );
}

const ADVICE: Record<RequestFailed["kind"], string> = {
  unreachable: "Check your network connection and that the server is running, then try again.",
  "signed-out": "Sign in again with a new link: gql-secrets sign-in-link",
  forbidden: "Your role does not allow this. Ask an administrator.",
  failed: "Try again. If the problem persists, look for the request id in the server’s log.",
};

export function FailureNote({ failure, retry }: { failure: RequestFailed; retry?: () => void }) {
  return (
    <div role="alert">
      <Note tone="bad" title={failure.message}>
        <p>{ADVICE[failure.kind]}</p>
        {failure.requestId && (
          <p class="request-id">
            Request id <code>{failure.requestId}</code>
          </p>
        )}
        {retry && <Button onClick={retry}>Try again</Button>}
      </Note>
    </div>
  );
}

interface PageFailureProps {
  asked: Pick<Asked<unknown>, "failure" | "reload">;
  /** What the page shows, where the viewer may not see it. */
  forbidden?: string | false;
}

/** Why a page could not be read; nothing where the viewer is signed out, which is shown in its place. */
export function PageFailure({ asked: { failure, reload }, forbidden = false }: PageFailureProps) {
  if (forbidden) {
    return (
      <Note tone="warn" title={`Only administrators see ${forbidden}.`}>
        <p>Ask an administrator to sign you in with the role Admin.</p>
      </Note>
    );
  }
  return failure && failure.kind !== "signed-out" ? <FailureNote failure={failure} retry={reload} /> : null;
}

const NEXT_STEP: Partial<Record<Problem["code"], string>> = {
  CLIENT_NOT_FOUND: "It may have been deleted. Close this dialog and check the list.",
  CONFLICT:
    "Somebody changed this client since you opened this dialog. Close it, check what changed, and decide again.",
  IDEMPOTENCY_KEY_REUSED: "Close this dialog and start again.",
  IDEMPOTENCY_RESULT_ENDED: "The reset happened, but its secret has ended since. Close this dialog and reset again.",
  LAST_OWNER: "Give another client the owner feature first.",
  NEW_SECRET_IN_USE: "Cancelling would lock out its users. Revoke the old secret instead once it is no longer used.",
  NO_ROLLOVER: "The old secret has ended. Close this dialog to see the current state.",
  RATE_LIMITED: "Wait a moment, then try again.",
  SECRET_NOT_OLD: "Close this dialog to see the current state.",
};

/** The server's sentences about what was refused; those about a field are shown at that field instead. */
export function ProblemNotes({ problems, requestId }: { problems: readonly Problem[]; requestId: string | null }) {
  if (problems.length === 0) return null;
  return (
    <div role="alert">
      {problems.map((problem) => (
        <Note key={problem.code} tone="bad" title={withLocalInstants(problem.message, serverNow())}>
          {NEXT_STEP[problem.code] && <p>{NEXT_STEP[problem.code]}</p>}
          {requestId && (
            <p class="request-id">
              Request id <code>{requestId}</code>
            </p>
          )}
        </Note>
      ))}
    </div>
  );
}
