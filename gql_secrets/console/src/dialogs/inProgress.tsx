/** A reset while a rollover runs: says whom it would cut off, and asks. */

import { useEffect, useState } from "preact/hooks";
import { RequestFailed, request } from "../graphql/client";
import { CLIENT, CLIENT_SOURCES, type ClientView, type SecretUse } from "../graphql/queries";
import { actorName } from "../lib/words";
import { At, Button, Hint, Loading, When } from "../ui/basics";
import { DialogFoot } from "../ui/dialog";
import { FailureNote, Note } from "../ui/notes";
import { SourceList } from "./sourceList";

interface InProgressProps {
  clientId: string;
  pending: boolean;
  failure: RequestFailed | null;
  onBack: () => void;
  /** Go on, on the state of the client that was shown here. */
  onGoOn: (ifGeneration: number) => void;
}

interface Facts {
  readonly client: ClientView;
  readonly oldUses: readonly SecretUse[] | null;
}

export function InProgress({ clientId, pending, failure, onBack, onGoOn }: InProgressProps) {
  const [facts, setFacts] = useState<Facts | null>(null);
  const [unread, setUnread] = useState<RequestFailed | null>(null);
  const [reads, setReads] = useState(0);
  useEffect(() => {
    const asking = new AbortController();
    setUnread(null);
    readFacts(clientId, asking.signal).then(setFacts, (failed: unknown) => {
      if (!asking.signal.aborted && failed instanceof RequestFailed) setUnread(failed);
    });
    return () => asking.abort();
  }, [clientId, reads]);

  return (
    <>
      <Note tone="warn" title="A rollover is still running.">
        <p>Two secrets are good now, and there are never three: a reset ends one of them at once.</p>
      </Note>
      {unread && <FailureNote failure={unread} retry={() => setReads(reads + 1)} />}
      {!facts && !unread && <Loading what="who would be cut off" />}
      {facts && <Consequences {...facts} />}
      {failure && <FailureNote failure={failure} />}
      <DialogFoot>
        <Button onClick={onBack} disabled={pending} autoFocus>
          Keep the rollover
        </Button>
        <Button kind="danger" disabled={pending || !facts} onClick={() => facts && onGoOn(facts.client.generation)}>
          {pending ? "Resetting…" : "Reset Secret anyway"}
        </Button>
      </DialogFoot>
    </>
  );
}

async function readFacts(clientId: string, signal: AbortSignal): Promise<Facts> {
  const [{ data }, sources] = await Promise.all([
    request(CLIENT, { clientId }, signal),
    request(CLIENT_SOURCES, { clientId }, signal),
  ]);
  if (!data.client) throw new RequestFailed("failed", "This client was deleted meanwhile.");
  return { client: data.client, oldUses: sources.data.client?.oldSecret?.uses ?? null };
}

/** Rule 6 in words: an unused new secret gives way; once it is used, the old one does. */
function Consequences({ client, oldUses }: Facts) {
  const { currentSecret, oldSecret } = client;
  if (!oldSecret) return <p>The rollover has ended meanwhile; nothing more would be cut off.</p>;
  if (currentSecret && !currentSecret.firstUsedAt) {
    return (
      <div class="consequences">
        <p>
          The secret that would end is <Hint hint={currentSecret.hint} />: made <When at={currentSecret.createdAt} /> by{" "}
          {actorName(currentSecret.createdBy)}, never used. Whoever has it but has not put it to use yet will need the newer one.
        </p>
        <p>
          The old secret <Hint hint={oldSecret.hint} /> stays good.
        </p>
      </div>
    );
  }
  return (
    <div class="consequences">
      <p>
        The secret that would end now is the old one, <Hint hint={oldSecret.hint} />, instead of{" "}
        <At at={oldSecret.expiresAt} />. It was last used <When at={oldSecret.lastUsedAt} />.
      </p>
      {oldUses && oldUses.length > 0 && <SourceList uses={oldUses} />}
      {currentSecret && (
        <p>
          The current one, <Hint hint={currentSecret.hint} />, made <When at={currentSecret.createdAt} /> by{" "}
          {actorName(currentSecret.createdBy)}, becomes the old one and stays good for the time you chose.
        </p>
      )}
    </div>
  );
}
