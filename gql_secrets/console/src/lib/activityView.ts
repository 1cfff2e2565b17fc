/** Which events the activity page shows; all of it is in the address. */

import type { AuditEntry } from "../graphql/queries";
import { ACTION_WORDS, SURFACE_WORDS } from "./words";

type Action = AuditEntry["action"];
type Surface = AuditEntry["surface"];

export interface ActivityView {
  readonly client: string;
  readonly actor: string;
  readonly action: Action | null;
  readonly surface: Surface | null;
  /** Days, as a date field writes them: both inclusive, in the viewer's time zone. */
  readonly since: string;
  readonly until: string;
}

export const EVERY_EVENT: ActivityView = {
  client: "",
  actor: "",
  action: null,
  surface: null,
  since: "",
  until: "",
};

const DAY = /^\d{4}-\d\d-\d\d$/;
const dayOf = (text: string | null): string => (text && DAY.test(text) && !Number.isNaN(Date.parse(text)) ? text : "");
const keyOf = <Key extends string>(keys: Readonly<Record<Key, unknown>>, text: string | null): Key | null => {
  const key = (text ?? "").toUpperCase().replaceAll("-", "_");
  return Object.hasOwn(keys, key) ? (key as Key) : null;
};
const nameOf = (key: string): string => key.toLowerCase().replaceAll("_", "-");

export function parseActivityView(text: string): ActivityView {
  const given = new URLSearchParams(text);
  return {
    client: given.get("client") ?? "",
    actor: given.get("actor") ?? "",
    action: keyOf(ACTION_WORDS, given.get("action")),
    surface: keyOf(SURFACE_WORDS, given.get("surface")),
    since: dayOf(given.get("since")),
    until: dayOf(given.get("until")),
  };
}

export function writeActivityView({ client, actor, action, surface, since, until }: ActivityView): string {
  const written = new URLSearchParams();
  const parts = { client, actor, action: action && nameOf(action), surface: surface && nameOf(surface), since, until };
  for (const [name, value] of Object.entries(parts)) if (value) written.set(name, value);
  return written.toString();
}

/** The view as arguments of the API's `auditEvents`; the last day is included as a whole. */
export const activityArguments = ({ client, actor, action, surface, since, until }: ActivityView) => ({
  clientId: client.trim() || null,
  actor: actor.trim() || null,
  action,
  surface,
  since: since ? instantOf(startOf(since)) : null,
  until: until ? instantOf(dayAfter(until)) : null,
});

const startOf = (day: string) => new Date(`${day}T00:00`);

function dayAfter(day: string): Date {
  const date = startOf(day);
  date.setDate(date.getDate() + 1); // a day is not always 24 hours long
  return date;
}

// The API takes the years 1 to 9999. Those of a date field may end beyond them.
const FIRST = Date.parse("0001-01-01T00:00:00Z");
const LAST = Date.parse("9999-12-31T23:59:59.999Z");
const instantOf = (date: Date) => new Date(Math.min(Math.max(date.getTime(), FIRST), LAST)).toISOString();
