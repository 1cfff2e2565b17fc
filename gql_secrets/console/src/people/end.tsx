/** Ends one session, or all sessions of the person. */

import { useState } from "preact/hooks";
import { ChangeDialog } from "../dialogs/changeDialog";
import { useChange } from "../dialogs/useChange";
import type { SessionRow } from "../graphql/adminQueries";
import { END_SESSION, END_SESSIONS } from "../graphql/mutations";
import { formatDateTime } from "../lib/format";
import { Switch } from "../ui/fields";
import { say } from "../ui/toast";

interface EndProps {
  session: SessionRow;
  onDone: () => void;
  close: () => void;
}

export function EndSessionDialog({ session, onDone, close }: EndProps) {
  const { name, actor } = session;
  const [all, setAll] = useState(false);
  const done = (words: string) => {
    say(words);
    onDone();
    close();
  };
  const one = useChange(END_SESSION, ({ alreadyEnded }) =>
    done(alreadyEnded ? "The session had already ended." : `The session of ${name} was ended.`),
  );
  const every = useChange(END_SESSIONS, ({ endedCount }) =>
    done(`${endedCount} ${endedCount === 1 ? "session" : "sessions"} of ${name} ended.`),
  );
  return (
    <ChangeDialog
      title={`End the session of ${name}`}
      act={all ? "End all sessions" : "End session"}
      danger
      change={all ? every : one}
      onAct={() => (all ? every.send({ actor }) : one.send({ sessionId: session.id }))}
      close={close}
      show={
        all
          ? { document: END_SESSIONS, variables: { actor } }
          : { document: END_SESSION, variables: { sessionId: session.id } }
      }
    >
      <p class="dialog-lead">
        {session.isViewersOwn
          ? "This is your own session: you are"
          : `The browser that signed in ${signedIn(session)} is`}{" "}
        signed out immediately. Sign-in links that this person created and nobody has used become void, and the sessions
        that began with such links end.
      </p>
      <Switch
        kind="checkbox"
        label={`End all sessions of ${name}`}
        hint={`Every browser in which ${actor} is signed in is signed out.`}
        checked={all}
        onChange={setAll}
        disabled={one.pending || every.pending}
      />
    </ChangeDialog>
  );
}

const signedIn = ({ startedAt, address }: SessionRow): string =>
  `${formatDateTime(startedAt)}${address ? ` from ${address}` : ""}`;
