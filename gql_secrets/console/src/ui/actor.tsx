/** Who did something; a client that did it can be opened. */

import { clientAddress } from "../lib/router";
import { actorName } from "../lib/words";

const CLIENT = "api_client:";

interface ActorProps {
  actor: string;
  name: string | null;
}

/** Two people can have one name, so a person's name has the identity as its tooltip. */
export function Actor({ actor, name }: ActorProps) {
  if (!actor.startsWith(CLIENT)) return <span title={name === null ? undefined : actor}>{actorName(actor, name)}</span>;
  const clientId = actor.slice(CLIENT.length);
  return (
    <a class="actor" href={clientAddress(clientId)}>
      client <code>{clientId}</code>
    </a>
  );
}
