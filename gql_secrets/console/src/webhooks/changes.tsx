/** Disabling, resuming, rotating and deleting a webhook: each is asked for once. */

import { useState } from "preact/hooks";
import { ChangeDialog } from "../dialogs/changeDialog";
import { useChange } from "../dialogs/useChange";
import type { WebhookRow } from "../graphql/adminQueries";
import { DELETE_WEBHOOK, ROTATE_WEBHOOK_SECRET, UPDATE_WEBHOOK } from "../graphql/mutations";
import { serverNow } from "../lib/clock";
import { say } from "../ui/toast";
import { SigningSecret } from "./secret";
import { previousSignsUntil, webhookName } from "./words";

interface ChangeProps {
  webhook: WebhookRow;
  onDone: () => void;
  close: () => void;
}

/** Resumes a webhook that is paused, too. */
export function EnableWebhookDialog({ webhook, onDone, close }: ChangeProps) {
  const name = webhookName(webhook);
  const paused = webhook.enabled && webhook.pausedAt !== null;
  const enable = !webhook.enabled || paused;
  const act = paused ? "Resume" : enable ? "Enable" : "Disable";
  const variables = { webhookId: webhook.id, enabled: enable };
  const change = useChange(UPDATE_WEBHOOK, () => {
    say(paused ? `${name} is resumed.` : enable ? `${name} is enabled.` : `${name} is disabled.`);
    onDone();
    close();
  });
  return (
    <ChangeDialog
      title={`${act} webhook`}
      act={act}
      danger={!enable}
      change={change}
      onAct={() => change.send(variables)}
      close={close}
      show={{ document: UPDATE_WEBHOOK, variables }}
    >
      <p class="dialog-lead">
        {paused ? (
          <>
            Events that wait for <strong>{name}</strong> are delivered now, in order.
          </>
        ) : enable ? (
          <>
            Events are delivered to <strong>{name}</strong> from now on.
          </>
        ) : (
          <>
            Events that happen while <strong>{name}</strong> is disabled are not delivered later.
          </>
        )}
      </p>
    </ChangeDialog>
  );
}

export function RotateDialog({ webhook, onDone, close }: ChangeProps) {
  const name = webhookName(webhook);
  const [secret, setSecret] = useState<string | null>(null);
  const variables = { webhookId: webhook.id };
  const change = useChange(ROTATE_WEBHOOK_SECRET, ({ signingSecret }) => {
    if (signingSecret) setSecret(signingSecret);
    onDone();
  });
  if (secret) {
    return (
      <SigningSecret
        name={name}
        secret={secret}
        previous="For 24 hours, events are signed with the previous one too."
        close={close}
      />
    );
  }
  return (
    <ChangeDialog
      title="Rotate signing secret"
      act="Rotate secret"
      change={change}
      onAct={() => change.send(variables)}
      close={close}
      show={{ document: ROTATE_WEBHOOK_SECRET, variables }}
    >
      <p class="dialog-lead">
        <strong>{name}</strong> will get a new signing secret. For 24 hours, events are signed with both, so that the
        endpoint can change over at any time in between.
        {previousSignsUntil(webhook, serverNow()) && " The previous one stops signing now: only the newest two sign."}
      </p>
    </ChangeDialog>
  );
}

export function DeleteWebhookDialog({ webhook, onDone, close }: ChangeProps) {
  const name = webhookName(webhook);
  const variables = { webhookId: webhook.id };
  const change = useChange(DELETE_WEBHOOK, () => {
    say(`${name} is deleted.`);
    onDone();
    close();
  });
  return (
    <ChangeDialog
      title="Delete webhook"
      act="Delete webhook"
      danger
      change={change}
      onAct={() => change.send(variables)}
      close={close}
      show={{ document: DELETE_WEBHOOK, variables }}
    >
      <p class="dialog-lead">
        <strong>{name}</strong> is deleted with its deliveries. Events that wait for it are not delivered. This cannot
        be undone.
      </p>
    </ChangeDialog>
  );
}
