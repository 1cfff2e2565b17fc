/** The events and states of webhooks in the user's words. */

import type { WebhookDelivery, WebhookEvent, WebhookRow } from "../graphql/adminQueries";
import { formatMoment, formatPast } from "../lib/format";
import type { Tone } from "../ui/basics";
import type { IconName } from "../ui/icons";

/** Each event as the payload names it, and when it is sent. */
export const EVENTS: Readonly<Record<WebhookEvent, { readonly type: string; readonly words: string }>> = {
  CLIENT_CREATED: { type: "client.created", words: "A client was created or imported" },
  CLIENT_UPDATED: { type: "client.updated", words: "A field of a client was changed" },
  CLIENT_ENABLED: { type: "client.enabled", words: "A client was enabled" },
  CLIENT_DISABLED: { type: "client.disabled", words: "A client was disabled" },
  CLIENT_DELETED: { type: "client.deleted", words: "A client was deleted" },
  SECRET_RESET: { type: "secret.reset", words: "A secret was reset" },
  SECRET_REVOKED: { type: "secret.revoked", words: "An old secret was revoked" },
  SECRET_EXPIRED: { type: "secret.expired", words: "An old secret expired" },
  SECRET_DUE: { type: "secret.due", words: "A secret has reached its maximum age" },
  ROLLOVER_ENDING: { type: "rollover.ending", words: "An old secret is in use and ends within 24 hours" },
  STRAGGLER_REFUSED: { type: "straggler.refused", words: "A secret that has ended was tried" },
  ROLLOVER_SAFE_TO_REVOKE: { type: "rollover.safe_to_revoke", words: "An old secret is safe to revoke" },
};

export const ALL_EVENTS = Object.keys(EVENTS) as readonly WebhookEvent[];

interface State {
  readonly tone: Tone;
  readonly icon: IconName;
  readonly words: string;
}

export function stateOf({ enabled, pausedAt, failingSince }: WebhookRow, now: number): State {
  if (!enabled) return { tone: "calm", icon: "pause", words: "Disabled" };
  if (pausedAt) return { tone: "bad", icon: "pause", words: `Paused since ${formatMoment(pausedAt, now)}` };
  if (failingSince) return { tone: "warn", icon: "warn", words: `Failing since ${formatMoment(failingSince, now)}` };
  return { tone: "good", icon: "check", words: "Active" };
}

const DELIVERY_STATES: Readonly<Record<WebhookDelivery["state"], State>> = {
  PENDING: { tone: "live", icon: "clock", words: "Pending" },
  DELIVERED: { tone: "good", icon: "check", words: "Delivered" },
  FAILED: { tone: "bad", icon: "stop", words: "Failed" },
};

export function deliveryState({ state, attempts }: WebhookDelivery): State {
  return state === "PENDING" && attempts > 0
    ? { tone: "warn", icon: "warn", words: "Will be retried" }
    : DELIVERY_STATES[state];
}

/** What the endpoint answered, and what happens next. */
export function deliveryDetails(delivery: WebhookDelivery, now: number): readonly string[] {
  const { lastStatus, lastError, nextAttemptAt, deliveredAt, attempts } = delivery;
  const next = nextAttemptAt !== null && Date.parse(nextAttemptAt) > now;
  return [
    deliveredAt && formatPast(deliveredAt, now),
    lastError ?? (lastStatus !== null && `Status ${lastStatus}`),
    attempts > 1 && `${attempts} attempts`,
    next && `Next attempt ${formatMoment(nextAttemptAt, now)}`,
  ].filter((detail): detail is string => Boolean(detail));
}

/** Until when the previous signing secret signs too; null once it no longer does. */
export function previousSignsUntil({ previousSecretUntil }: Pick<WebhookRow, "previousSecretUntil">, now: number) {
  return previousSecretUntil !== null && Date.parse(previousSecretUntil) > now ? previousSecretUntil : null;
}

/** What people call a webhook: its description, or the host that it delivers to. */
export function webhookName({ description, url }: Pick<WebhookRow, "description" | "url">): string {
  if (description) return description;
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}
