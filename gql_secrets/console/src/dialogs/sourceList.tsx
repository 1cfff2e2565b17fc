import type { SecretUse } from "../graphql/queries";
import { plural } from "../lib/format";
import { When } from "../ui/basics";

const MOST = 5;

/** The latest few who used a secret: address, agent, when. */
export function SourceList({ uses }: { uses: readonly SecretUse[] }) {
  const latest = uses
    .filter((use) => !use.refused)
    .sort((one, other) => Date.parse(other.lastSeenAt) - Date.parse(one.lastSeenAt));
  return (
    <ul class="source-list" aria-label="Who used it">
      {latest.slice(0, MOST).map((use) => (
        <li key={`${use.address}|${use.userAgent}`}>
          <code>{use.address ?? "unknown address"}</code>
          <span class="agent">{use.userAgent ?? "no user agent"}</span>
          <span class="muted nowrap">
            <When at={use.lastSeenAt} />
          </span>
        </li>
      ))}
      {latest.length > MOST && <li class="muted">and {plural(latest.length - MOST, "other")}</li>}
    </ul>
  );
}
