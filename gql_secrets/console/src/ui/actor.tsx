/** Who did something; a client that did it can be opened. */

import { clientAddress } from "../lib/router";
import { actorName } from "../lib/words";

const CLIENT = "api_client:";

export function Actor({ actor }: { actor: string }) {
  if (!actor.startsWith(CLIENT)) return <>{actorName(actor)}</>;
  const clientId = actor.slice(CLIENT.length);
  return (
    <a class="actor" href={clientAddress(clientId)}>
      client <code>{clientId}</code>
    </a>
  );
}
