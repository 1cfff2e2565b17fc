/** The newest deliveries of a webhook, with their status; each can be sent once more. */

import { useEffect } from "preact/hooks";
import { WEBHOOK_DELIVERIES, type WebhookDelivery } from "../graphql/adminQueries";
import { RequestFailed, request } from "../graphql/client";
import { REDELIVER_WEBHOOK } from "../graphql/mutations";
import { useAction } from "../graphql/useAction";
import { useQuery } from "../graphql/useQuery";
import { useNow } from "../lib/clock";
import { formatFully } from "../lib/format";
import { clientAddress } from "../lib/router";
import { At, Button, Chip, Scrolled } from "../ui/basics";
import { Loading } from "../ui/bones";
import { FailureNote } from "../ui/notes";
import { say } from "../ui/toast";
import { deliveryDetails, deliveryState } from "./words";

/** An attempt is over within seconds. */
const LOOK_AGAIN = 2000;
/** The server looks for changes to deliver every second, and every five until it finds a webhook. */
const WRITTEN_AFTER = [1500, 6000];

interface DeliveriesProps {
  webhookId: string;
  /** Changes when something was sent. */
  sent: number;
}

export function Deliveries({ webhookId, sent }: DeliveriesProps) {
  const asked = useQuery(WEBHOOK_DELIVERIES, {}, { follow: () => true, again: WRITTEN_AFTER });
  const webhooks = asked.answer?.data.webhooks;
  const deliveries = webhooks?.find((each) => each.id === webhookId)?.deliveries;
  useEffect(() => {
    if (sent > 0) asked.reload();
  }, [sent]);
  const fresh = deliveries?.some(({ state, attempts }) => state === "PENDING" && attempts === 0);
  useEffect(() => {
    if (!fresh) return undefined;
    const timer = setTimeout(asked.reload, LOOK_AGAIN);
    return () => clearTimeout(timer);
  }, [asked.answer, fresh]);

  if (asked.failure && !deliveries) return <FailureNote failure={asked.failure} retry={asked.reload} />;
  if (!deliveries) return <Loading what="the deliveries" />;
  if (deliveries.length === 0) return <p class="muted">Nothing was delivered in the last 30 days.</p>;
  return (
    <Scrolled label="Deliveries">
      <table class="records stacked deliveries">
        <thead>
          <tr>
            <th scope="col">Event</th>
            <th scope="col">State</th>
            <th scope="col">Created</th>
            <th scope="col">
              <span class="hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {deliveries.map((delivery) => (
            <Delivery key={delivery.id} delivery={delivery} onSent={asked.reload} />
          ))}
        </tbody>
      </table>
    </Scrolled>
  );
}

function Delivery({ delivery, onSent }: { delivery: WebhookDelivery; onSent: () => void }) {
  const now = useNow();
  const action = useAction();
  const { tone, icon, words } = deliveryState(delivery);
  const redeliver = () =>
    action.run(async () => {
      say(await sentAgain(delivery));
      onSent();
    });
  return (
    <tr>
      <th scope="row">
        <code>{delivery.eventType}</code>
        {delivery.clientId && (
          <span class="second">
            <a href={clientAddress(delivery.clientId)}>{delivery.clientId}</a>
          </span>
        )}
      </th>
      <td>
        <Chip tone={tone} icon={icon}>
          {words}
        </Chip>
        {deliveryDetails(delivery, now).map((detail) => (
          <span key={detail} class="second">
            {detail}
          </span>
        ))}
      </td>
      <td data-label="Created" class="nowrap">
        <At at={delivery.createdAt} />
      </td>
      <td class="nowrap">
        <Button kind="quiet" onClick={redeliver} disabled={action.pending}>
          Deliver again
          <span class="hidden">
            {" "}
            {delivery.eventType} of {formatFully(delivery.createdAt)}
          </span>
        </Button>
      </td>
    </tr>
  );
}

/** Ask for one more delivery, and return the sentence that says what came of it. */
async function sentAgain({ id, eventType }: WebhookDelivery): Promise<string> {
  try {
    const { data } = await request(REDELIVER_WEBHOOK, { deliveryId: id });
    return data.redeliverWebhook?.userErrors[0]?.message ?? `${eventType} is delivered again.`;
  } catch (failure) {
    if (failure instanceof RequestFailed) return failure.message;
    throw failure;
  }
}
