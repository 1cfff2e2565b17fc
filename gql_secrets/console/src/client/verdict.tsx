/** While a rollover runs: may the old secret be revoked, and how long has it left? */

import { useEffect } from "preact/hooks";
import { CancelDialog, RetentionDialog, RevokeDialog } from "../dialogs/rollover";
import type { ClientView, SecretUse } from "../graphql/queries";
import { serverNow, useNow } from "../lib/clock";
import { formatCountdown, formatFully, formatRelative, plural, withLocalInstants } from "../lib/format";
import { ADVICE_WORDS } from "../lib/words";
import { Button } from "../ui/basics";
import { openDialog } from "../ui/dialog";
import { Icon } from "../ui/icons";

const RECENTLY = 60 * 60 * 1000;

interface VerdictProps {
  client: ClientView;
  sources: readonly SecretUse[] | null;
  /** The countdown is over: what was read before is no longer so. */
  onEnd: () => void;
}

export function Verdict({ client, sources, onEnd }: VerdictProps) {
  const now = useNow();
  const { rollover, oldSecret } = client;
  const ended = rollover !== null && Date.parse(rollover.endsAt) <= now;
  useEffect(() => {
    if (ended) onEnd();
  }, [ended]);
  if (!rollover || !oldSecret) return null;
  const { tone, icon } = ADVICE_WORDS[rollover.advice];
  const [starts, ends] = [Date.parse(rollover.startedAt), Date.parse(rollover.endsAt)];
  const left = ends - now;
  const facts = { client, oldSecret, sources };

  return (
    <section class={`verdict ${tone}`} aria-labelledby="verdict">
      <div class="verdict-words">
        <h2 id="verdict">
          <Icon name={icon} />
          {verdictOf(client, sources, now)}
        </h2>
        <p>{withLocalInstants(rollover.reason)}</p>
        <div class="verdict-actions">
          {client.viewerCanRevokeOldSecret && (
            <Button
              kind={rollover.advice === "REVOKE" ? "primary" : "danger"}
              onClick={() => openDialog((close) => <RevokeDialog {...facts} close={close} />)}
            >
              Revoke Old Secret
            </Button>
          )}
          {client.viewerCanRevokeOldSecret && (
            <Button onClick={() => openDialog((close) => <RetentionDialog {...facts} close={close} />)}>
              Change retention
            </Button>
          )}
          {client.viewerCanRevokeOldSecret && !client.currentSecret?.firstUsedAt && (
            <Button onClick={() => openDialog((close) => <CancelDialog {...facts} close={close} />)}>
              Cancel rollover
            </Button>
          )}
        </div>
      </div>
      <div class="countdown">
        <p class="countdown-label">The old secret ends in</p>
        <p class="countdown-time" role="timer">
          {formatCountdown(left)}
        </p>
        <progress max={ends - starts} value={Math.min(ends - starts, Math.max(0, now - starts))} aria-label="Time passed" />
        <p class="muted">{formatFully(ends)}</p>
      </div>
    </section>
  );
}

/** The verdict in one sentence: "Still in use by 2 sources, last 3 minutes ago". */
export function verdictOf(client: ClientView, sources: readonly SecretUse[] | null, now = serverNow()): string {
  const { rollover, oldSecret } = client;
  if (!rollover || !oldSecret) return "No rollover is running";
  if (rollover.advice === "REVOKE") return "Safe to revoke";
  if (rollover.advice === "WAIT_FOR_NEW") return "Wait: the new secret is not in use yet";
  const last = oldSecret.lastUsedAt ? `, last ${formatRelative(oldSecret.lastUsedAt, now)}` : "";
  const recent = recentSources(sources, now);
  return recent > 0 ? `Still in use by ${plural(recent, "source")}${last}` : `Still in use${last}`;
}

/** How many places used the secret lately; those that moved on long ago do not hold anybody up. */
function recentSources(sources: readonly SecretUse[] | null, now: number): number {
  return (sources ?? []).filter((use) => !use.refused && Date.parse(use.lastSeenAt) > now - RECENTLY).length;
}
