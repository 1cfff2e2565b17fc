/** What one may do to a running rollover: end the old secret, change when it ends, or take the reset back. */

import { useState } from "preact/hooks";
import { CANCEL_ROLLOVER, CHANGE_RETENTION, REVOKE_OLD_SECRET } from "../graphql/mutations";
import type { ClientView, SecretView } from "../graphql/queries";
import { serverNow, useNow } from "../lib/clock";
import { formatMoment } from "../lib/format";
import { generationSeen } from "../lib/generations";
import { isAtMaximum, latestEnd, MAX_RETENTION } from "../lib/retention";
import { rolloverFacts } from "../rollover/facts";
import { dependents, type Source } from "../rollover/sources";
import { verdictOf } from "../rollover/verdict";
import { Hint, When } from "../ui/basics";
import { Note } from "../ui/notes";
import { say } from "../ui/toast";
import { ChangeDialog } from "./changeDialog";
import { REASON_FIELDS, ReasonField, reasonOf } from "./reason";
import { RetentionBox, useRetention } from "./retention";
import { SourceList } from "./sourceList";
import { useChange } from "./useChange";

interface RolloverProps {
  client: ClientView;
  oldSecret: SecretView;
  sources: readonly Source[] | null;
  close: () => void;
}

export function RevokeDialog({ client, oldSecret, sources, close }: RolloverProps) {
  const now = useNow();
  const change = useChange(REVOKE_OLD_SECRET, ({ alreadyEnded }) => {
    say(alreadyEnded ? "The old secret had already ended." : "The old secret is revoked.");
    close();
  });
  // The secret is named, so that a late click cannot end a newer one.
  const [reason, setReason] = useState("");
  const variables = {
    clientId: client.clientId,
    secretId: oldSecret.id,
    ifGeneration: generationSeen(client),
    reason: reasonOf(reason),
  };
  const facts = rolloverFacts(client, sources);
  const verdict = facts && verdictOf(facts, now);
  const affected = dependents(sources);
  return (
    <ChangeDialog
      title="Revoke Old Secret"
      act="Revoke Old Secret"
      danger
      change={change}
      before={client}
      onAct={() => change.send(variables)}
      close={close}
      fields={REASON_FIELDS}
      show={{ document: REVOKE_OLD_SECRET, variables }}
    >
      <p class="dialog-lead">
        The old secret <Hint hint={oldSecret.hint} /> of <strong>{client.name}</strong> stops working immediately. The
        current secret is not affected. This cannot be undone.
      </p>
      {verdict && (
        <Note tone={verdict.tone} title={verdict.headline}>
          <p>
            {oldSecret.lastUsedAt ? (
              <>
                The old secret was last used <When at={oldSecret.lastUsedAt} />.
              </>
            ) : (
              "Nobody has used the old secret."
            )}{" "}
            {affected.length > 0 && "These will be locked out until they have the new secret:"}
          </p>
          {affected.length > 0 && <SourceList sources={affected} label="Sources that will be locked out" />}
        </Note>
      )}
      <ReasonField value={reason} onInput={setReason} disabled={change.pending} problems={change.problems} />
    </ChangeDialog>
  );
}

export function RetentionDialog({ client, oldSecret, close }: RolloverProps) {
  const retention = useRetention();
  const now = useNow();
  const change = useChange(CHANGE_RETENTION, ({ oldSecretExpiresAt, clamped }) => {
    const end = oldSecretExpiresAt ? formatMoment(oldSecretExpiresAt, serverNow()) : "as before";
    say(
      `The old secret now ends ${end}${clamped ? `, ${MAX_RETENTION.days} days after its reset, which is the maximum.` : "."}`,
    );
    close();
  });
  const startedAt = client.rollover?.startedAt;
  const latest = startedAt ? latestEnd(startedAt) : undefined;
  const ends = client.rollover ? Date.parse(client.rollover.endsAt) : undefined;
  const variables = (hoursToLive: number) => ({
    clientId: client.clientId,
    hoursToLive,
    ifGeneration: generationSeen(client),
  });
  const act = () => {
    const hoursToLive = retention.take();
    if (hoursToLive !== null) change.send(variables(hoursToLive));
  };
  return (
    <ChangeDialog
      title="Change retention"
      act="Change retention"
      change={change}
      before={client}
      onAct={act}
      close={close}
      show={{ document: CHANGE_RETENTION, variables: variables(24) }}
    >
      <p class="dialog-lead">
        The old secret <Hint hint={oldSecret.hint} />
        {ends === undefined ? " is active" : ` ends ${formatMoment(ends, now)}`}. Keep it for how much longer, counted
        from now?
        {latest !== undefined &&
          (client.rollover && isAtMaximum(client.rollover)
            ? ` It already has the maximum of ${MAX_RETENTION.days} days, so it can only be shortened.`
            : ` The latest possible time is ${formatMoment(latest, now)}, ${MAX_RETENTION.days} days after the reset.`)}
      </p>
      <RetentionBox
        input={retention}
        disabled={change.pending}
        withHours
        {...(latest === undefined ? {} : { latest })}
      />
    </ChangeDialog>
  );
}

export function CancelDialog({ client, oldSecret, close }: RolloverProps) {
  const change = useChange(CANCEL_ROLLOVER, () => {
    say("The rollover is cancelled; the old secret is the current one again.");
    close();
  });
  const variables = { clientId: client.clientId, ifGeneration: generationSeen(client) };
  return (
    <ChangeDialog
      title="Cancel rollover"
      act="Cancel rollover"
      leave="Keep rollover"
      danger
      change={change}
      before={client}
      onAct={() => change.send(variables)}
      close={close}
      show={{ document: CANCEL_ROLLOVER, variables }}
    >
      <p class="dialog-lead">
        The new secret {client.currentSecret && <Hint hint={client.currentSecret.hint} />} is withdrawn: nobody has used
        it, and it will never work. The old secret <Hint hint={oldSecret.hint} /> becomes current again and no longer
        ends.
      </p>
    </ChangeDialog>
  );
}
