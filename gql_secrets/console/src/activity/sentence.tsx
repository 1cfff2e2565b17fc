/** An event of the audit log as a sentence. */

import type { ActivityEntry } from "../graphql/queries";
import { SENTENCES } from "../lib/auditWords";
import { clientAddress } from "../lib/router";
import { Actor } from "../ui/actor";

export function EventSentence({ event }: { event: ActivityEntry }) {
  const [before, after] = SENTENCES[event.action];
  return (
    <p>
      <Actor actor={event.actor} name={event.actorName} /> {before} <Subject event={event} /> {after}
    </p>
  );
}

function Subject({ event: { action, clientId, client, personName } }: { event: ActivityEntry }) {
  if (clientId) {
    return (
      <a href={clientAddress(clientId)}>
        {client ? (
          client.name
        ) : (
          <>
            deleted client <code>{clientId}</code>
          </>
        )}
      </a>
    );
  }
  if (personName === null || action === "SIGNED_IN") return null;
  return <strong>{personName}</strong>;
}
