/** Edits a client. Only changed fields are sent, so two people do not undo each other's edits. */

import { useState } from "preact/hooks";
import { UPDATE_CLIENT } from "../graphql/mutations";
import type { ClientView, Feature } from "../graphql/queries";
import { say } from "../ui/toast";
import { ChangeDialog } from "./changeDialog";
import { ClientForm, type ClientInput, FORM_FIELDS, networksIn } from "./clientForm";
import { useChange } from "./useChange";

export function EditDialog({ client, close }: { client: ClientView; close: () => void }) {
  const [before] = useState<ClientInput>(() => ({
    name: client.name,
    description: client.description ?? "",
    features: client.features,
    allowList: client.allowList.join("\n"),
  }));
  const [input, setInput] = useState(before);
  const change = useChange(UPDATE_CLIENT, () => {
    say("Saved.");
    close();
  });
  const variables = { clientId: client.clientId, ...changed(before, input) };
  const nothing = Object.keys(variables).length === 1;
  return (
    <ChangeDialog
      title="Edit client"
      act="Save"
      change={change}
      fields={FORM_FIELDS}
      onAct={() => (nothing ? close() : change.send(variables))}
      close={close}
      dirty={!nothing}
      show={{ document: UPDATE_CLIENT, variables }}
    >
      <ClientForm input={input} onInput={setInput} problems={change.problems} disabled={change.pending} />
    </ChangeDialog>
  );
}

interface Changed {
  name?: string;
  description?: string;
  features?: Feature[];
  allowList?: string[];
}

function changed(before: ClientInput, now: ClientInput): Changed {
  const same = (one: readonly string[], other: readonly string[]) =>
    JSON.stringify([...one].sort()) === JSON.stringify([...other].sort());
  return {
    ...(now.name === before.name ? {} : { name: now.name.trim() }),
    ...(now.description === before.description ? {} : { description: now.description.trim() }),
    ...(same(now.features, before.features) ? {} : { features: [...now.features] }),
    ...(same(networksIn(now.allowList), networksIn(before.allowList)) ? {} : { allowList: networksIn(now.allowList) }),
  };
}
