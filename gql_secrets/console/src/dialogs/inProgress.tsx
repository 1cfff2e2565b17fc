/** A reset during a rollover: names the sources that it would lock out, and asks. */

import { useEffect, useState } from "preact/hooks";
import { type RequestFailed, request } from "../graphql/client";
import { CLIENT_SOURCES, type ClientView } from "../graphql/queries";
import { serverNow } from "../lib/clock";
import { dependents, type Source, sourcesOf } from "../rollover/sources";
import { Actor } from "../ui/actor";
import { At, Button, Hint, When } from "../ui/basics";
import { Loading } from "../ui/bones";
import { DialogFoot } from "../ui/dialog";
import { FailureNote, Note } from "../ui/notes";
import { SourceList } from "./sourceList";

interface InProgressProps {
  /** The client as the server described it when it refused. */
  client: ClientView;
  pending: boolean;
  failure: RequestFailed | null;
  onBack: () => void;
  onGoOn: () => void;
}

export function InProgress({ client, pending, failure, onBack, onGoOn }: InProgressProps) {
  const [affected, setAffected] = useState<readonly Source[] | null>(null);
  useEffect(() => {
    const asking = new AbortController();
    // A viewer who may not see the sources, or cannot read them now, decides without their names.
    readAffected(client, asking.signal).then(setAffected, () => setAffected([]));
    return () => asking.abort();
  }, [client]);

  return (
    <>
      <Note tone="warn" title="A rollover is already running.">
        <p>A client can have two secrets at most. Resetting now ends one of them.</p>
      </Note>
      {affected ? <Consequences client={client} affected={affected} /> : <Loading what="who would be locked out" />}
      {failure && <FailureNote failure={failure} />}
      <DialogFoot>
        <Button onClick={onBack} disabled={pending} autoFocus>
          Keep rollover
        </Button>
        <Button kind="danger" disabled={pending || !affected} onClick={onGoOn}>
          {pending ? "Resetting…" : "Reset Secret anyway"}
        </Button>
      </DialogFoot>
    </>
  );
}

async function readAffected(client: ClientView, signal: AbortSignal): Promise<readonly Source[]> {
  const { data } = await request(CLIENT_SOURCES, { clientId: client.clientId }, signal);
  if (!data.client) return [];
  return dependents(sourcesOf(data.client, { allowList: client.allowList, enabled: client.enabled, now: serverNow() }));
}

/** docs/rules.md, rule 6: an unused new secret gives way; once it is used, the old one does. */
function Consequences({ client, affected }: { client: ClientView; affected: readonly Source[] }) {
  const { currentSecret, oldSecret } = client;
  if (!oldSecret) return <p>The rollover has ended; nothing else would be locked out.</p>;
  if (currentSecret && !currentSecret.firstUsedAt) {
    return (
      <div class="consequences">
        <p>
          This ends <Hint hint={currentSecret.hint} />, created <When at={currentSecret.createdAt} /> by{" "}
          <Actor actor={currentSecret.createdBy} name={currentSecret.createdByName} /> and never used. People who
          received it need the newer one.
        </p>
        <p>
          The old secret <Hint hint={oldSecret.hint} /> stays valid.
        </p>
      </div>
    );
  }
  return (
    <div class="consequences">
      <p>
        This ends the old secret <Hint hint={oldSecret.hint} /> now instead of <At at={oldSecret.expiresAt} />. It was
        last used <When at={oldSecret.lastUsedAt} />
        {affected.length > 0 ? ". These sources will be locked out:" : "."}
      </p>
      {affected.length > 0 && <SourceList sources={affected} label="Sources that will be locked out" />}
      {currentSecret && (
        <p>
          The current secret <Hint hint={currentSecret.hint} />, created <When at={currentSecret.createdAt} /> by{" "}
          <Actor actor={currentSecret.createdBy} name={currentSecret.createdByName} />, becomes the old one and stays
          valid for the time you chose.
        </p>
      )}
    </div>
  );
}
