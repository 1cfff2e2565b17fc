/** Ends one session, or all sessions of a person. */

import { ChangeDialog } from "../dialogs/changeDialog";
import { useChange } from "../dialogs/useChange";
import type { SessionRow } from "../graphql/adminQueries";
import { END_SESSION, END_SESSIONS } from "../graphql/mutations";
import { say } from "../ui/toast";

interface EndProps {
  session: SessionRow;
  onDone: () => void;
  close: () => void;
}

const CASCADE =
  "Sign-in links that this person created and nobody has used become void, and the sessions that began with such links end.";

export function EndSessionDialog({ session, onDone, close }: EndProps) {
  const variables = { sessionId: session.id };
  const change = useChange(END_SESSION, ({ alreadyEnded }) => {
    say(alreadyEnded ? "The session had already ended." : `The session of ${session.name} was ended.`);
    onDone();
    close();
  });
  return (
    <ChangeDialog
      title={`End the session of ${session.name}`}
      act="End session"
      danger
      change={change}
      onAct={() => change.send(variables)}
      close={close}
      show={{ document: END_SESSION, variables }}
    >
      <p class="dialog-lead">
        {session.isViewersOwn ? "You are signed out immediately." : "The browser is signed out immediately."} {CASCADE}
      </p>
    </ChangeDialog>
  );
}

export function EndPersonDialog({ session, onDone, close }: EndProps) {
  const variables = { actor: session.actor };
  const change = useChange(END_SESSIONS, ({ endedCount }) => {
    say(`${endedCount} ${endedCount === 1 ? "session" : "sessions"} of ${session.name} ended.`);
    onDone();
    close();
  });
  return (
    <ChangeDialog
      title={`End all sessions of ${session.name}`}
      act="End all sessions"
      danger
      change={change}
      onAct={() => change.send(variables)}
      close={close}
      show={{ document: END_SESSIONS, variables }}
    >
      <p class="dialog-lead">
        Every browser in which <code>{session.actor}</code> is signed in is signed out immediately. {CASCADE}
      </p>
    </ChangeDialog>
  );
}
