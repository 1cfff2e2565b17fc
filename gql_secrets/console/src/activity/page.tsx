/** Activity: the audit of the whole installation, deleted clients included. */

import { useEffect, useState } from "preact/hooks";
import { ACTIVITY, type ActivityEntry } from "../graphql/queries";
import { useQuery } from "../graphql/useQuery";
import { type ActivityView, activityArguments, EVERY_EVENT } from "../lib/activityView";
import { detailsOf } from "../lib/auditWords";
import { useNow } from "../lib/clock";
import { plural } from "../lib/format";
import { ACTIVITY_ADDRESS, activityAddressOf, currentRoute, goTo } from "../lib/router";
import { looksLikeSecret } from "../lib/secrets";
import { ACTION_WORDS, SURFACE_WORDS } from "../lib/words";
import { useTitle } from "../shell/title";
import { ApiButton } from "../ui/api";
import { At, Empty } from "../ui/basics";
import { LoadingTable } from "../ui/bones";
import { Choice } from "../ui/choice";
import { PageFailure } from "../ui/notes";
import { Pager, usePaging } from "../ui/paging";
import { Export } from "./export";
import { EventSentence } from "./sentence";

const PAGE_SIZE = 25;
const TYPING_PAUSE = 300;

/** Change what the address shows of the activity; nothing once it leads elsewhere, as it may before a pause is over. */
function change(next: Partial<ActivityView>): void {
  const route = currentRoute();
  if (route.page === "activity") goTo(activityAddressOf({ ...route.view, ...next }), { replace: true });
}

export function ActivityPage({ view }: { view: ActivityView }) {
  useTitle("Activity");
  const address = activityAddressOf(view);
  const paging = usePaging(address);
  const filter = activityArguments(view);
  const variables = { ...filter, first: PAGE_SIZE, after: paging.after };
  const asked = useQuery(ACTIVITY, variables, { follow: () => paging.page === 0 });
  const events = asked.answer?.data.auditEvents;
  const forbidden = asked.failure?.kind === "forbidden";
  return (
    <>
      <div class="page-head">
        <div>
          <h1 tabIndex={-1}>Activity</h1>
          <p class="lead">Every change, who made it, and when. Deleted clients are included.</p>
        </div>
        <div class="head-actions">
          <ApiButton
            operations={[{ name: "Activity", document: ACTIVITY, variables }]}
            command="gql-secrets audit export"
          />
          {events && <Export filter={filter} total={events.totalCount} />}
        </div>
      </div>
      <div class="toolbar">
        <Typed label="Client id" value={view.client} onChange={(client) => change({ client })} />
        <Typed label="Actor" value={view.actor} onChange={(actor) => change({ actor })} />
        <Choice
          label="Action"
          value={view.action ?? ""}
          onChange={(action) => change({ action: (action || null) as ActivityView["action"] })}
          choices={[["", "Any action"], ...Object.entries(ACTION_WORDS)]}
        />
        <Choice
          label="Made through"
          value={view.surface ?? ""}
          onChange={(surface) => change({ surface: (surface || null) as ActivityView["surface"] })}
          choices={[["", "Any interface"], ...Object.entries(SURFACE_WORDS)]}
        />
        <Day label="From" value={view.since} onChange={(since) => change({ since })} />
        <Day label="To" value={view.until} onChange={(until) => change({ until })} />
        <p class="count muted" role="status">
          {events && plural(events.totalCount, "event")}
        </p>
      </div>
      <PageFailure asked={asked} forbidden={forbidden && "the audit log"} />
      {!events && !asked.failure && <LoadingTable what="the events" />}
      {events && (
        <div class={`panel flush ${asked.waiting ? "waiting" : ""}`} aria-busy={asked.waiting}>
          {events.nodes.length > 0 ? (
            <ol class="activity" aria-label="Events, newest first">
              {events.nodes.map((event) => (
                <Event key={event.id} event={event} onActor={(actor) => change({ actor })} />
              ))}
            </ol>
          ) : (
            <Empty title={paging.page > 0 ? "This page is empty" : "No event matches these filters"}>
              {address !== activityAddressOf(EVERY_EVENT) && (
                <p>
                  <a href={ACTIVITY_ADDRESS}>Show all events</a>
                </p>
              )}
            </Empty>
          )}
        </div>
      )}
      <div class="below-table">
        {events && <Pager paging={paging} size={PAGE_SIZE} connection={events} what="events" />}
      </div>
    </>
  );
}

function Event({ event, onActor }: { event: ActivityEntry; onActor: (actor: string) => void }) {
  const now = useNow();
  return (
    <li>
      <span class="activity-when">
        <At at={event.at} />
      </span>
      <div class="activity-what">
        <EventSentence event={event} />
        {detailsOf(event, now).map((detail) => (
          <span key={detail} class="second">
            {detail}
          </span>
        ))}
      </div>
      <span class="activity-where muted">
        <span class="activity-surface">{SURFACE_WORDS[event.surface]}</span>
        {event.address && <span class="second">{event.address}</span>}
        <button type="button" class="link-button" onClick={() => onActor(event.actor)}>
          Only this actor
        </button>
      </span>
    </li>
  );
}

interface FieldProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
}

/** A text filter: it is used when typing pauses. */
function Typed({ label, value, onChange }: FieldProps) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  useEffect(() => {
    if (typed === value || looksLikeSecret(typed)) return undefined;
    const timer = setTimeout(() => onChange(typed), TYPING_PAUSE);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <>
      <input
        type="search"
        class="choice"
        aria-label={label}
        placeholder={label}
        value={typed}
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => setTyped(event.currentTarget.value)}
      />
      {looksLikeSecret(typed) && (
        <p class="error" role="alert">
          That looks like a secret. It was not sent.
        </p>
      )}
    </>
  );
}

function Day({ label, value, onChange }: FieldProps) {
  return (
    <label class="day">
      {label}
      <input type="date" class="choice" value={value} onChange={(event) => onChange(event.currentTarget.value)} />
    </label>
  );
}
