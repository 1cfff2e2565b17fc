/** A new client, and its first secret. */

import { useState } from "preact/hooks";
import { CREATE_CLIENT } from "../graphql/mutations";
import { clientAddress } from "../lib/router";
import { ChangeDialog } from "./changeDialog";
import { ClientForm, type ClientInput, FORM_FIELDS, networksIn } from "./clientForm";
import { NewSecret } from "./newSecret";
import { useChange } from "./useChange";

const EVERYWHERE = "0.0.0.0/0\n::/0";
const EMPTY: ClientInput = { name: "", description: "", features: [], allowList: EVERYWHERE };

interface Created {
  readonly clientId: string;
  readonly clientName: string;
  readonly secret: string;
}

export function CreateDialog({ close }: { close: () => void }) {
  const [input, setInput] = useState<ClientInput>(EMPTY);
  const [nameError, setNameError] = useState<string | null>(null);
  const [created, setCreated] = useState<Created | null>(null);
  const change = useChange(CREATE_CLIENT, ({ client, secret }) => {
    if (client && secret) setCreated({ clientId: client.clientId, clientName: client.name, secret });
  });
  const variables = {
    name: input.name.trim(),
    description: input.description.trim() || null,
    features: [...input.features],
    allowList: networksIn(input.allowList),
  };

  if (created) {
    const leave = () => {
      location.hash = clientAddress(created.clientId);
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
        if (variables.name) change.send(variables);
        else setNameError("Enter a name.");
      }}
      close={close}
      dirty={JSON.stringify(input) !== JSON.stringify(EMPTY)}
      show={{ document: CREATE_CLIENT, variables }}
    >
      <ClientForm
        input={input}
        nameError={nameError}
        onInput={(next) => {
          setNameError(null);
          setInput({ ...input, ...next });
        }}
        problems={change.problems}
        disabled={change.pending}
      />
    </ChangeDialog>
  );
}
