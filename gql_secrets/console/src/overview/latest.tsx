/** The last changes of the installation, for those who may see the audit log. */

import { EventSentence } from "../activity/sentence";
import type { ActivityEntry } from "../graphql/queries";
import { ACTIVITY_ADDRESS } from "../lib/router";
import { Panel, When } from "../ui/basics";

export function Latest({ events }: { events: readonly ActivityEntry[] | undefined }) {
  if (!events || events.length === 0) return null;
  return (
    <Panel id="latest" title="Latest activity" aside={<a href={ACTIVITY_ADDRESS}>All activity</a>}>
      <ol class="latest" aria-label="Latest events, newest first">
        {events.map((event) => (
          <li key={event.id}>
            <EventSentence event={event} />
            <span class="second">
              <When at={event.at} />
            </span>
          </li>
        ))}
      </ol>
    </Panel>
  );
}
