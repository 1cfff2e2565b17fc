/** What describes a client, and the buttons to change it. */

import { EditDialog } from "../dialogs/edit";
import { DeleteDialog, EnableDialog } from "../dialogs/lifecycle";
import type { ClientView } from "../graphql/queries";
import { useNow } from "../lib/clock";
import { useCommands } from "../lib/commands";
import { formatMoment, plural } from "../lib/format";
import { listAddressOf } from "../lib/router";
import { FEATURES, featureName } from "../lib/words";
import { At, Button, Panel } from "../ui/basics";
import { openDialog } from "../ui/dialog";

const isEverywhere = (allowList: readonly string[]): boolean =>
  allowList.includes("0.0.0.0/0") && allowList.includes("::/0");

export function About({ client }: { client: ClientView }) {
  const edit = () => openDialog((close) => <EditDialog client={client} close={close} />);
  const toggle = () => openDialog((close) => <EnableDialog client={client} close={close} />);
  const remove = () => openDialog((close) => <DeleteDialog client={client} close={close} />);
  useCommands(
    client.viewerCanEdit
      ? [
          { words: "Edit client", run: edit },
          { words: client.enabled ? "Disable client" : "Enable client", run: toggle },
          { words: "Delete client", run: remove },
        ]
      : [],
  );
  return (
    <Panel
      id="about"
      title="Settings"
      aside={
        client.viewerCanEdit && (
          <>
            <Button onClick={edit}>Edit</Button>
            <Button onClick={toggle}>{client.enabled ? "Disable" : "Enable"}</Button>
            <Button kind="danger" onClick={remove}>
              Delete
            </Button>
          </>
        )
      }
    >
      <dl class="facts columns">
        <dt>Created</dt>
        <dd>
          <At at={client.createdAt} />
        </dd>
        <dt>Contact</dt>
        <dd>{client.contact ?? <span class="muted">none</span>}</dd>
        <dt>Labels</dt>
        <dd class="labels">
          {client.labels.length === 0 && <span class="muted">none</span>}
          {client.labels.map((label) => (
            <a key={label} class="chip label" href={listAddressOf({ labels: [label] })}>
              {label}
            </a>
          ))}
        </dd>
        <dt>Maximum age</dt>
        <dd>
          <MaximumAge client={client} />
        </dd>
        <dt>Resets itself</dt>
        <dd>{client.selfReset ? "Yes, with a smooth reset" : <span class="muted">no</span>}</dd>
        <dt>Features</dt>
        <dd>
          {client.features.length === 0 && <span class="muted">none</span>}
          {client.features.map((feature) => (
            <div key={feature}>
              <code>{featureName(feature)}</code> <span class="muted">{FEATURES[feature]}</span>
            </div>
          ))}
        </dd>
        <dt>Allow list</dt>
        <dd class="networks">
          {isEverywhere(client.allowList) ? (
            <span>Anywhere</span>
          ) : (
            client.allowList.map((network) => <code key={network}>{network}</code>)
          )}
        </dd>
      </dl>
    </Panel>
  );
}

/** How old a secret may become, where that comes from, and when it is due. */
function MaximumAge({ client }: { client: ClientView }) {
  const now = useNow();
  const { maximumAgeDays, effectiveMaximumAgeDays, rotationDueAt } = client;
  if (effectiveMaximumAgeDays === null) return <span class="muted">none</span>;
  const overdue = rotationDueAt !== null && Date.parse(rotationDueAt) <= now;
  return (
    <>
      <span>{plural(effectiveMaximumAgeDays, "day")}</span>
      {maximumAgeDays === null && <span class="muted"> (the installation’s)</span>}
      {rotationDueAt && (
        <span class={overdue ? "second attention" : "second"}>
          {overdue
            ? `Due for rotation since ${formatMoment(rotationDueAt, now)}`
            : `Due ${formatMoment(rotationDueAt, now)}`}
        </span>
      )}
    </>
  );
}
