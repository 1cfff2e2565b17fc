/** A new client, and its first secret. */

import { useState } from "preact/hooks";
import { CREATE_CLIENT } from "../graphql/mutations";
import { labelsIn } from "../lib/labels";
import { APPS_ADDRESS, clientAddress } from "../lib/router";
import { ChangeDialog } from "./changeDialog";
import { ClientForm, type ClientInput, daysIn, FORM_FIELDS, type Lack, lackIn, networksIn } from "./clientForm";
import { NewSecret } from "./newSecret";
import { useChange } from "./useChange";

const EVERYWHERE = "0.0.0.0/0\n::/0";
const EMPTY: ClientInput = {
  name: "",
  description: "",
  features: [],
  allowList: EVERYWHERE,
  contact: "",
  labels: "",
  maximumAge: "",
  selfReset: false,
};

interface Created {
  /** Null where the client was created and could not be read afterwards. */
  readonly clientId: string | null;
  readonly clientName: string;
  readonly secret: string;
}

export function CreateDialog({ close }: { close: () => void }) {
  const [input, setInput] = useState<ClientInput>(EMPTY);
  const [lack, setLack] = useState<Lack | null>(null);
  const [created, setCreated] = useState<Created | null>(null);
  const change = useChange(CREATE_CLIENT, ({ client, secret }) => {
    if (secret) setCreated({ clientId: client?.clientId ?? null, clientName: client?.name ?? variables.name, secret });
  });
  const variables = {
    name: input.name.trim(),
    description: input.description.trim() || null,
    features: [...input.features],
    allowList: networksIn(input.allowList),
    contact: input.contact.trim() || null,
    labels: labelsIn(input.labels),
    maximumAgeDays: lackIn(input) ? null : daysIn(input.maximumAge),
    selfReset: input.selfReset,
  };

  if (created) {
    const leave = () => {
      location.hash = created.clientId === null ? APPS_ADDRESS : clientAddress(created.clientId);
      close();
    };
    return <NewSecret {...created} close={leave} />;
  }
  return (
    <ChangeDialog
      title="Create client"
      act="Create client"
      change={change}
      fields={FORM_FIELDS}
      onAct={() => {
        const found = lackIn(input);
        setLack(found);
        if (!found) change.send(variables);
      }}
      close={close}
      dirty={JSON.stringify(input) !== JSON.stringify(EMPTY)}
      show={{ document: CREATE_CLIENT, variables }}
    >
      <ClientForm
        input={input}
        lack={lack}
        onInput={(next) => {
          setLack(null);
          setInput({ ...input, ...next });
        }}
        problems={change.problems}
        disabled={change.pending}
      />
    </ChangeDialog>
  );
}
