/** Disabling, enabling and deleting a client. */

import { useState } from "preact/hooks";
import { DELETE_CLIENT, SET_CLIENT_ENABLED } from "../graphql/mutations";
import type { ClientView } from "../graphql/queries";
import { APPS_ADDRESS } from "../lib/router";
import { When } from "../ui/basics";
import { Field } from "../ui/fields";
import { Note } from "../ui/notes";
import { say } from "../ui/toast";
import { ChangeDialog } from "./changeDialog";
import { REASON_FIELDS, ReasonField, reasonOf } from "./reason";
import { useChange } from "./useChange";

interface LifecycleProps {
  client: ClientView;
  close: () => void;
}

export function EnableDialog({ client, close }: LifecycleProps) {
  const { enabled, name, clientId, currentSecret } = client;
  const change = useChange(SET_CLIENT_ENABLED, () => {
    say(enabled ? `${name} is disabled.` : `${name} is enabled.`);
    close();
  });
  const [reason, setReason] = useState("");
  const variables = { clientId, enabled: !enabled, reason: reasonOf(reason) };
  const act = enabled ? "Disable" : "Enable";
  return (
    <ChangeDialog
      title={`${act} client`}
      act={act}
      danger={enabled}
      change={change}
      onAct={() => change.send(variables)}
      close={close}
      fields={REASON_FIELDS}
      show={{ document: SET_CLIENT_ENABLED, variables }}
    >
      {enabled ? (
        <>
          <p class="dialog-lead">
            While <strong>{name}</strong> is disabled, all of its secrets are refused. An old secret still expires on
            time.
          </p>
          {currentSecret?.lastUsedAt && (
            <Note tone="warn">
              <p>
                It was last used <When at={currentSecret.lastUsedAt} />.
              </p>
            </Note>
          )}
        </>
      ) : (
        <p class="dialog-lead">
          The secrets of <strong>{name}</strong> work again, except those that have ended.
        </p>
      )}
      <ReasonField value={reason} onInput={setReason} disabled={change.pending} problems={change.problems} />
    </ChangeDialog>
  );
}

/** A name as people see and type it: without invisible characters, and with one blank where there are several. */
const typedForm = (name: string): string =>
  name
    .normalize("NFKC")
    .replace(/\p{Cf}/gu, "")
    .replace(/\s+/g, " ")
    .trim();

export function DeleteDialog({ client, close }: LifecycleProps) {
  const [typed, setTyped] = useState("");
  const [reason, setReason] = useState("");
  const variables = { clientId: client.clientId, reason: reasonOf(reason) };
  const change = useChange(DELETE_CLIENT, () => {
    say(`${client.name} is deleted.`);
    location.hash = APPS_ADDRESS;
    close();
  });
  return (
    <ChangeDialog
      title="Delete client"
      act="Delete client"
      danger
      disabled={typedForm(typed) !== typedForm(client.name)}
      change={change}
      onAct={() => change.send(variables)}
      close={close}
      fields={REASON_FIELDS}
      show={{ document: DELETE_CLIENT, variables }}
    >
      <p class="dialog-lead">
        <strong>{client.name}</strong> is deleted and all of its secrets stop working immediately. Its id is never used
        again; its audit trail is kept. This cannot be undone.
      </p>
      <Field
        label="Type the client’s name to confirm"
        value={typed}
        onInput={setTyped}
        disabled={change.pending}
        hint={client.name}
      />
      <ReasonField value={reason} onInput={setReason} disabled={change.pending} problems={change.problems} />
    </ChangeDialog>
  );
}
