/** The most prominent warning of a page: sources that try a secret which has ended, or a client that is disabled. */

import type { ClientPageView } from "../graphql/queries";
import { useNow } from "../lib/clock";
import { formatMoment, formatPast, plural } from "../lib/format";
import { latest } from "../lib/instants";
import { inState, refusedLately, type Source, sourceName } from "../rollover/sources";
import { Note } from "../ui/notes";

const NAMED = 5;
const DAY = 86_400_000;

interface LockedOutProps {
  sources: readonly Source[] | null;
  /** For viewers who may not see sources: how often ended secrets were tried. */
  client: ClientPageView;
}

export function LockedOut({ sources, client }: LockedOutProps) {
  const now = useNow();
  if (!sources) return <Attempts client={client} now={now} />;
  const { enabled } = client;
  const locked = enabled ? inState(sources, "LOCKED_OUT") : refusedLately(sources, now);
  if (locked.length === 0) return null;
  const who = `${plural(locked.length, "source")} ${locked.length === 1 ? "is" : "are"}`;
  return (
    <div class="above" role="alert">
      <Note
        tone={enabled ? "bad" : "warn"}
        title={enabled ? `${who} locked out` : `${who} refused while this client is disabled`}
      >
        {enabled ? (
          <p>
            {locked.length === 1 ? "It still tries" : "They still try"} a secret that has ended. Deploy the current
            secret there. An address that you do not know may mean that the secret was leaked.
          </p>
        ) : (
          <p>{locked.length === 1 ? "It still tries" : "They still try"} to use its secrets.</p>
        )}
        <ul class="source-list">
          {locked.slice(0, NAMED).map((source) => (
            <li key={sourceName(source)}>
              <code>{source.address ?? "unknown address"}</code>
              <span class="agent">{source.userAgent ?? "no user agent"}</span>
              <span class="nowrap">
                {plural(source.refusedCount, "attempt")} since {formatMoment(source.firstRefusedAt ?? "", now)}, last{" "}
                {formatPast(source.lastRefusedAt ?? "", now)}
              </span>
            </li>
          ))}
          {locked.length > NAMED && <li>and {plural(locked.length - NAMED, "other")}</li>}
        </ul>
      </Note>
    </div>
  );
}

function Attempts({ client, now }: { client: ClientPageView; now: number }) {
  const tried = (client.secrets?.nodes ?? []).filter(
    ({ endedAt, lastRefusedAt }) =>
      lastRefusedAt && Date.parse(lastRefusedAt) > now - DAY && (endedAt !== null || !client.enabled),
  );
  const last = latest(tried.map((secret) => secret.lastRefusedAt));
  if (!last) return null;
  const attempts = tried.reduce((sum, secret) => sum + secret.refusedAttempts, 0);
  return (
    <div class="above" role="alert">
      <Note
        tone={client.enabled ? "bad" : "warn"}
        title={client.enabled ? "A secret that has ended is still in use" : "This client is disabled and still in use"}
      >
        <p>
          It was refused {plural(attempts, "time")}, last {formatPast(last, now)}.
        </p>
      </Note>
    </div>
  );
}
