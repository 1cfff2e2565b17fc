/** The current and the old secret side by side. */

import type { ResultOf } from "gql.tada";
import type { CLIENT_SOURCES, ClientView, SecretUse, SecretView } from "../graphql/queries";
import { formatNumber } from "../lib/format";
import { actorName } from "../lib/words";
import { At, Chip, Hint, Scrolled, When } from "../ui/basics";

type Sources = NonNullable<ResultOf<typeof CLIENT_SOURCES>["client"]> | null;

export function Secrets({ client, sources }: { client: ClientView; sources: Sources }) {
  const { currentSecret, oldSecret } = client;
  return (
    <div class="secrets">
      <section class="panel secret-card" aria-labelledby="current-secret">
        <header class="panel-head">
          <h2 id="current-secret">Current secret</h2>
          {currentSecret && (
            <Chip tone={client.enabled ? "good" : "bad"} icon={client.enabled ? "key" : "pause"}>
              {client.enabled ? (oldSecret ? "New" : "Good") : "Refused while disabled"}
            </Chip>
          )}
        </header>
        {currentSecret ? (
          <Facts secret={currentSecret} uses={usesOf(sources, currentSecret.id)} />
        ) : (
          <p class="muted">This client has no secret.</p>
        )}
      </section>
      <section class="panel secret-card" aria-labelledby="old-secret">
        <header class="panel-head">
          <h2 id="old-secret">Old secret</h2>
          {oldSecret && (
            <Chip tone={client.enabled ? "live" : "bad"} icon={client.enabled ? "clock" : "pause"}>
              {client.enabled ? "Still good" : "Refused while disabled"}
            </Chip>
          )}
        </header>
        {oldSecret ? (
          <Facts secret={oldSecret} uses={usesOf(sources, oldSecret.id)} />
        ) : (
          <p class="muted none">
            None. After a smooth reset the secret before stands here, good beside the new one for up to seven days.
          </p>
        )}
      </section>
    </div>
  );
}

/** The two queries may have seen different moments; uses are shown only beside the secret they belong to. */
function usesOf(sources: Sources, secretId: string): readonly SecretUse[] | null {
  const secret = [sources?.currentSecret, sources?.oldSecret].find((candidate) => candidate?.id === secretId);
  return secret?.uses ?? null;
}

function Facts({ secret, uses }: { secret: SecretView; uses: readonly SecretUse[] | null }) {
  return (
    <>
      <dl class="facts">
        <dt>Secret</dt>
        <dd>
          <Hint hint={secret.hint} />
        </dd>
        <dt>Created</dt>
        <dd>
          <At at={secret.createdAt} /> <span class="muted">by {actorName(secret.createdBy)}</span>
        </dd>
        <dt>First used</dt>
        <dd>
          <When at={secret.firstUsedAt} />
        </dd>
        <dt>Last used</dt>
        <dd>
          <When at={secret.lastUsedAt} />
        </dd>
        <dt>Uses</dt>
        <dd>{formatNumber(secret.useCount)}</dd>
        {secret.expiresAt && (
          <>
            <dt>Ends</dt>
            <dd>
              <At at={secret.expiresAt} />
            </dd>
          </>
        )}
      </dl>
      {uses && uses.length > 0 && <Uses uses={uses} />}
      {uses?.length === 0 && <p class="muted none">Nobody has used it yet.</p>}
    </>
  );
}

function Uses({ uses }: { uses: readonly SecretUse[] }) {
  return (
    <Scrolled label="Who uses it">
      <table class="uses">
        <caption>Who uses it</caption>
        <thead>
          <tr>
            <th scope="col">Source</th>
            <th scope="col">Last seen</th>
            <th scope="col" class="number">
              Uses
            </th>
          </tr>
        </thead>
        <tbody>
          {uses.map((use) => (
            <tr key={`${use.address}|${use.userAgent}|${use.refused}`}>
              <th scope="row">
                <code>{use.address ?? "unknown address"}</code>
                <span class="agent">{use.userAgent ?? "no user agent"}</span>
                {use.refused && <Chip tone="bad">Refused</Chip>}
              </th>
              <td class="nowrap">
                <When at={use.lastSeenAt} />
              </td>
              <td class="number">{formatNumber(use.count)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scrolled>
  );
}
