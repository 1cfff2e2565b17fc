/** Edits a client. Only changed fields are sent, so two people do not undo each other's edits. */

import { useState } from "preact/hooks";
import { UPDATE_CLIENT } from "../graphql/mutations";
import type { ClientView, Feature } from "../graphql/queries";
import { labelsIn } from "../lib/labels";
import { say } from "../ui/toast";
import { ChangeDialog } from "./changeDialog";
import { ClientForm, type ClientInput, daysIn, FORM_FIELDS, type Lack, lackIn, networksIn } from "./clientForm";
import { useChange } from "./useChange";

export function EditDialog({ client, close }: { client: ClientView; close: () => void }) {
  const [before] = useState<ClientInput>(() => ({
    name: client.name,
    description: client.description ?? "",
    features: client.features,
    allowList: client.allowList.join("\n"),
    contact: client.contact ?? "",
    labels: client.labels.join(" "),
    maximumAge: client.maximumAgeDays === null ? "" : String(client.maximumAgeDays),
    selfReset: client.selfReset,
  }));
  const [input, setInput] = useState(before);
  const [lack, setLack] = useState<Lack | null>(null);
  const change = useChange(UPDATE_CLIENT, () => {
    say("Saved.");
    close();
  });
  const variables = { clientId: client.clientId, ...(lackIn(input) ? {} : changed(before, input)) };
  const nothing = JSON.stringify(changed(before, input)) === "{}";
  return (
    <ChangeDialog
      title="Edit client"
      act="Save"
      change={change}
      fields={FORM_FIELDS}
      onAct={() => {
        const found = lackIn(input);
        setLack(found);
        if (found) return;
        if (nothing) close();
        else change.send(variables);
      }}
      close={close}
      dirty={!nothing}
      show={{ document: UPDATE_CLIENT, variables }}
    >
      <ClientForm
        input={input}
        lack={lack}
        onInput={(next) => {
          setLack(null);
          setInput(next);
        }}
        problems={change.problems}
        disabled={change.pending}
      />
    </ChangeDialog>
  );
}

interface Changed {
  name?: string;
  description?: string;
  features?: Feature[];
  allowList?: string[];
  contact?: string;
  labels?: string[];
  maximumAgeDays?: number;
  inheritMaximumAge?: boolean;
  selfReset?: boolean;
}

function changed(before: ClientInput, now: ClientInput): Changed {
  const same = (one: readonly string[], other: readonly string[]) =>
    JSON.stringify([...one].sort()) === JSON.stringify([...other].sort());
  return {
    ...(now.name === before.name ? {} : { name: now.name.trim() }),
    ...(now.description === before.description ? {} : { description: now.description.trim() }),
    ...(same(now.features, before.features) ? {} : { features: [...now.features] }),
    ...(same(networksIn(now.allowList), networksIn(before.allowList)) ? {} : { allowList: networksIn(now.allowList) }),
    ...(now.contact === before.contact ? {} : { contact: now.contact.trim() }),
    ...(same(labelsIn(now.labels), labelsIn(before.labels)) ? {} : { labels: labelsIn(now.labels) }),
    ...changedAge(daysIn(before.maximumAge), daysIn(now.maximumAge)),
    ...(now.selfReset === before.selfReset ? {} : { selfReset: now.selfReset }),
  };
}

function changedAge(before: number | null, now: number | null): Changed {
  if (now === before) return {};
  return now === null ? { inheritMaximumAge: true } : { maximumAgeDays: now };
}
