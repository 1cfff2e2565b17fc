/** Webhooks: where events are delivered to, for administrators. */

import { useState } from "preact/hooks";
import { WEBHOOKS, type WebhookRow } from "../graphql/adminQueries";
import { RequestFailed, request } from "../graphql/client";
import { TEST_WEBHOOK } from "../graphql/mutations";
import { useAction } from "../graphql/useAction";
import { useQuery } from "../graphql/useQuery";
import { useNow } from "../lib/clock";
import { useCommands } from "../lib/commands";
import { formatMoment } from "../lib/format";
import { useTitle } from "../shell/title";
import { ApiButton } from "../ui/api";
import { At, Button, Chip, Empty, Panel } from "../ui/basics";
import { LoadingTable } from "../ui/bones";
import { openDialog } from "../ui/dialog";
import { Note, PageFailure } from "../ui/notes";
import { say } from "../ui/toast";
import { DeleteWebhookDialog, EnableWebhookDialog, RotateDialog } from "./changes";
import { Deliveries } from "./deliveries";
import { CreateWebhookDialog, EditWebhookDialog } from "./form";
import { ALL_EVENTS, EVENTS, previousSignsUntil, stateOf, webhookName } from "./words";

export function WebhooksPage() {
  useTitle("Webhooks");
  const asked = useQuery(WEBHOOKS, {}, { follow: () => false });
  const webhooks = asked.answer?.data.webhooks;
  const [open, setOpen] = useState<string | null>(null);
  const forbidden = asked.failure?.kind === "forbidden" || Boolean(asked.answer?.denied.has("webhooks"));
  const create = () => openDialog((close) => <CreateWebhookDialog onDone={asked.reload} close={close} />);
  useCommands([!forbidden && { words: "Create webhook", run: create }]);
  return (
    <>
      <div class="page-head">
        <div>
          <h1 tabIndex={-1}>Webhooks</h1>
          <p class="lead">Events of clients and secrets, signed and delivered to your endpoints.</p>
        </div>
        {!forbidden && (
          <div class="head-actions">
            <ApiButton
              operations={[{ name: "Webhooks", document: WEBHOOKS, variables: {} }]}
              command="gql-secrets webhook list"
            />
            <Button kind="primary" onClick={create}>
              Create webhook
            </Button>
          </div>
        )}
      </div>
      <PageFailure asked={asked} forbidden={forbidden && "webhooks"} />
      {!webhooks && !asked.failure && !forbidden && <LoadingTable what="the webhooks" rows={3} />}
      {webhooks?.length === 0 && (
        <div class="panel">
          <Empty title="No webhooks yet">
            <p>Create one to hear about resets, expiries and locked-out sources as they happen.</p>
          </Empty>
        </div>
      )}
      {webhooks?.map((webhook) => (
        <WebhookPanel
          key={webhook.id}
          webhook={webhook}
          open={open === webhook.id}
          onOpen={(isOpen) => setOpen(isOpen ? webhook.id : null)}
          reload={asked.reload}
        />
      ))}
    </>
  );
}

interface WebhookPanelProps {
  webhook: WebhookRow;
  /** Whether its deliveries are shown. */
  open: boolean;
  onOpen: (open: boolean) => void;
  reload: () => void;
}

function WebhookPanel({ webhook, open, onOpen, reload }: WebhookPanelProps) {
  const now = useNow();
  const [sent, setSent] = useState(0);
  const testing = useAction();
  const name = webhookName(webhook);
  const { tone, icon, words } = stateOf(webhook, now);
  const of = <span class="hidden"> {name}</span>;
  const shared = { webhook, onDone: reload };
  const paused = webhook.enabled && webhook.pausedAt !== null;
  const previousUntil = previousSignsUntil(webhook, now);
  const test = () =>
    testing.run(async () => {
      say(await tested(webhook));
      setSent(sent + 1);
      onOpen(true);
    });
  return (
    <Panel
      id={`webhook-${webhook.number}`}
      title={name}
      aside={
        <Chip tone={tone} icon={icon}>
          {words}
        </Chip>
      }
    >
      {paused && (
        <Note tone="bad" title="Deliveries are paused">
          <p>The endpoint has failed for three days, or answered 410. Events wait until you resume the webhook.</p>
        </Note>
      )}
      <dl class="facts wide">
        <dt>URL</dt>
        <dd>
          <code class="url">{webhook.url}</code>
        </dd>
        <dt>Events</dt>
        <dd>
          {webhook.events.length === ALL_EVENTS.length ? (
            `All ${ALL_EVENTS.length}`
          ) : (
            <span class="event-types">
              {webhook.events.map((event) => (
                <code key={event}>{EVENTS[event].type}</code>
              ))}
            </span>
          )}
        </dd>
        <dt>Created</dt>
        <dd>
          <At at={webhook.createdAt} /> <span class="muted">as number {webhook.number}</span>
        </dd>
        {previousUntil && (
          <>
            <dt>Signing secret</dt>
            <dd>The previous one signs too, until {formatMoment(previousUntil, now)}</dd>
          </>
        )}
      </dl>
      <div class="webhook-actions">
        <Button onClick={() => onOpen(!open)}>
          {open ? "Hide deliveries" : "Show deliveries"}
          {of}
        </Button>
        <Button onClick={test} disabled={testing.pending || !webhook.enabled}>
          Send test{of}
        </Button>
        <Button onClick={() => openDialog((close) => <EditWebhookDialog {...shared} close={close} />)}>Edit{of}</Button>
        <Button onClick={() => openDialog((close) => <RotateDialog {...shared} close={close} />)}>
          Rotate secret{of}
        </Button>
        <Button
          kind={paused ? "primary" : "plain"}
          onClick={() => openDialog((close) => <EnableWebhookDialog {...shared} close={close} />)}
        >
          {paused ? "Resume" : webhook.enabled ? "Disable" : "Enable"}
          {of}
        </Button>
        <Button kind="danger" onClick={() => openDialog((close) => <DeleteWebhookDialog {...shared} close={close} />)}>
          Delete{of}
        </Button>
      </div>
      {open && <Deliveries webhookId={webhook.id} sent={sent} />}
    </Panel>
  );
}

/** Send a test event, and return the sentence that says what came of it. */
async function tested(webhook: WebhookRow): Promise<string> {
  try {
    const { data } = await request(TEST_WEBHOOK, { webhookId: webhook.id });
    return data.testWebhook?.userErrors[0]?.message ?? `A test event was sent to ${webhookName(webhook)}.`;
  } catch (failure) {
    if (failure instanceof RequestFailed) return failure.message;
    throw failure;
  }
}
