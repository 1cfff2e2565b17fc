/** What one may do to a running rollover: end it, move its end, or take it back. */

import { verdictOf } from "../client/verdict";
import { CANCEL_ROLLOVER, CHANGE_RETENTION, REVOKE_OLD_SECRET } from "../graphql/mutations";
import type { ClientView, SecretUse, SecretView } from "../graphql/queries";
import { generationSeen } from "../lib/generations";
import { formatFully } from "../lib/format";
import { LONGEST } from "../lib/retention";
import { ADVICE_WORDS } from "../lib/words";
import { Hint, When } from "../ui/basics";
import { Note } from "../ui/notes";
import { say } from "../ui/toast";
import { ChangeDialog } from "./changeDialog";
import { RetentionBox, useRetention } from "./retention";
import { SourceList } from "./sourceList";
import { useChange } from "./useChange";

const DAY = 86_400_000;

interface RolloverProps {
  client: ClientView;
  oldSecret: SecretView;
  sources: readonly SecretUse[] | null;
  close: () => void;
}

export function RevokeDialog({ client, oldSecret, sources, close }: RolloverProps) {
  const change = useChange(REVOKE_OLD_SECRET, ({ alreadyEnded }) => {
    say(alreadyEnded ? "The old secret had ended already." : "The old secret is revoked.");
    close();
  });
  // The secret is named, so that a late click cannot end a newer one.
  const variables = { clientId: client.clientId, secretId: oldSecret.id, ifGeneration: generationSeen(client) };
  const advice = client.rollover?.advice ?? "REVOKE";
  return (
    <ChangeDialog
      title="Revoke Old Secret"
      act="Revoke Old Secret"
      danger
      change={change}
      onAct={() => change.send(variables)}
      close={close}
      show={{ document: REVOKE_OLD_SECRET, variables }}
    >
      <p class="dialog-lead">
        The old secret <Hint hint={oldSecret.hint} /> of <strong>{client.name}</strong> stops working at once. The
        current one stays as it is. This cannot be undone.
      </p>
      <Note tone={advice === "REVOKE" ? "good" : "warn"} title={verdictOf(client, sources)}>
        <p>
          {oldSecret.lastUsedAt ? (
            <>
              It was last used <When at={oldSecret.lastUsedAt} />
              {sources && sources.length > 0 ? " by:" : "."}
            </>
          ) : (
            "It was never used."
          )}
        </p>
        {oldSecret.lastUsedAt && sources && sources.length > 0 && <SourceList uses={sources} />}
        {ADVICE_WORDS[advice].tone !== "good" && <p>Whoever still uses it will be locked out.</p>}
      </Note>
    </ChangeDialog>
  );
}

export function RetentionDialog({ client, oldSecret, close }: RolloverProps) {
  const retention = useRetention();
  const change = useChange(CHANGE_RETENTION, ({ oldSecretExpiresAt, clamped }) => {
    const end = oldSecretExpiresAt ? formatFully(oldSecretExpiresAt) : "as before";
    say(`The old secret now ends ${end}${clamped ? `: ${LONGEST} days after its reset is the most.` : "."}`);
    close();
  });
  const startedAt = client.rollover?.startedAt;
  const latest = startedAt ? Date.parse(startedAt) + LONGEST * DAY : undefined;
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
      onAct={act}
      close={close}
      show={{ document: CHANGE_RETENTION, variables: variables(24) }}
    >
      <p class="dialog-lead">
        How long shall the old secret <Hint hint={oldSecret.hint} /> stay good, counted from now? It ends at the latest{" "}
        {LONGEST} days after its reset{latest === undefined ? "" : `: ${formatFully(latest)}`}.
      </p>
      <RetentionBox input={retention} disabled={change.pending} {...(latest === undefined ? {} : { latest })} />
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
      act="Withdraw the new secret"
      danger
      change={change}
      onAct={() => change.send(variables)}
      close={close}
      show={{ document: CANCEL_ROLLOVER, variables }}
    >
      <p class="dialog-lead">
        The new secret {client.currentSecret && <Hint hint={client.currentSecret.hint} />} is withdrawn: it was never
        used and will never work. The old one, <Hint hint={oldSecret.hint} />, becomes current again and no longer ends.
      </p>
    </ChangeDialog>
  );
}
