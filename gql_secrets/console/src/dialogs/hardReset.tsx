/** A hard reset: what it does, who would notice, and the question that comes before it. */

import type { ClientView } from "../graphql/queries";
import { plural } from "../lib/format";
import { inState, type Source } from "../rollover/sources";
import { Button, Hint, When } from "../ui/basics";
import { Dialog, DialogFoot } from "../ui/dialog";
import { Note } from "../ui/notes";
import { SourceList } from "./sourceList";

/** Everyone who uses a secret that a hard reset would end. */
const affectedBy = (sources: readonly Source[] | null): readonly Source[] =>
  inState(sources, "STILL_OLD", "NOT_SEEN_WITH_NEW", "MOVED", "IN_USE");

interface AffectedProps {
  client: ClientView;
  sources: readonly Source[] | null;
}

/** "5 sources use it, last just now." */
function Affected({ client, sources }: AffectedProps) {
  const affected = affectedBy(sources).length;
  const last = client.currentSecret?.lastUsedAt ?? client.oldSecret?.lastUsedAt;
  if (!last) return <>Nobody has used it yet.</>;
  const what = client.oldSecret ? "one of its two secrets" : "it";
  const who = `${plural(affected, "source")} ${affected === 1 ? "uses" : "use"} ${what}`;
  return (
    <>
      {affected === 0 ? "It was used" : who}, last <When at={last} />.
    </>
  );
}

export function HardResetNote({ client, sources }: AffectedProps) {
  const { oldSecret } = client;
  return (
    <Note tone="bad" title="The old secret stops working immediately.">
      <p>
        <Affected client={client} sources={sources} /> An application that still uses it is locked out until it has the
        new secret.
      </p>
      {oldSecret && (
        <p>
          The secret kept by the running rollover, <Hint hint={oldSecret.hint} />, ends too
          {oldSecret.lastUsedAt && (
            <>
              {" "}
              (last used <When at={oldSecret.lastUsedAt} />)
            </>
          )}
          .
        </p>
      )}
      {!client.viewerCanSmoothReset && (
        <p>Your role can only reset immediately. To keep the old secret for some days, ask an administrator.</p>
      )}
    </Note>
  );
}

interface ConfirmProps extends AffectedProps {
  onBack: () => void;
  onConfirm: () => void;
}

export function ConfirmHardReset({ client, sources, onBack, onConfirm }: ConfirmProps) {
  const affected = affectedBy(sources);
  return (
    <Dialog title={`End the old secret of ${client.name} now?`} onDismiss={onBack}>
      <Note tone="bad" title="This cannot be undone.">
        <p>
          <Affected client={client} sources={sources} />
        </p>
        {affected.length > 0 && <SourceList sources={affected} label="Sources that will be locked out" />}
      </Note>
      <DialogFoot>
        <Button onClick={onBack} autoFocus>
          Go back
        </Button>
        <button
          type="button"
          class="button danger"
          // The second half of a double click on the step before is not an answer to this question.
          onMouseDown={(event) => event.detail > 1 && event.preventDefault()}
          onClick={(event) => event.detail <= 1 && onConfirm()}
        >
          End the old secret now
        </button>
      </DialogFoot>
    </Dialog>
  );
}
