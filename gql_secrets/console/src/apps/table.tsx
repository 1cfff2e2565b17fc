/** The list's rows: each shows its state at a glance. */

import type { AppRow, AttemptsRow } from "../graphql/queries";
import { useNow } from "../lib/clock";
import { formatDuration, formatPast } from "../lib/format";
import { clientAddress } from "../lib/router";
import { type Verdict, verdictOf } from "../rollover/verdict";
import { Chip, Hint, type Tone, When } from "../ui/basics";
import type { IconName } from "../ui/icons";

const DAY = 86_400_000;
const ICONS: Readonly<Record<Verdict["tone"], IconName>> = { good: "check", warn: "warn", bad: "warn", calm: "pause" };

interface AppsTableProps {
  rows: readonly AppRow[];
  attempts: readonly AttemptsRow[];
}

export function AppsTable({ rows, attempts }: AppsTableProps) {
  return (
    <table class="apps">
      <thead>
        <tr>
          <th scope="col">Client</th>
          <th scope="col">State</th>
          <th scope="col">Current secret</th>
          <th scope="col">Last used</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.id}>
            <th scope="row">
              <a class="row-link" href={clientAddress(row.clientId)}>
                {row.name}
              </a>
              <code class="client-id">{row.clientId}</code>
            </th>
            <td data-label="State">
              <States row={row} attempts={attempts.find((each) => each.clientId === row.clientId)} />
            </td>
            <td data-label="Current secret">
              {row.currentSecret ? (
                <>
                  <Hint hint={row.currentSecret.hint} />{" "}
                  <span class="muted nowrap">
                    created <When at={row.currentSecret.createdAt} />
                  </span>
                </>
              ) : (
                <span class="muted">none</span>
              )}
            </td>
            <td data-label="Last used" class="nowrap">
              <When at={row.currentSecret?.lastUsedAt} />
              {row.rollover && (
                <span class="second">
                  old <When at={row.rollover.oldSecret.lastUsedAt} />
                </span>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function States({ row, attempts }: { row: AppRow; attempts: AttemptsRow | undefined }) {
  const now = useNow();
  const left = row.rollover ? Date.parse(row.rollover.endsAt) - now : 0;
  const verdict = left > 0 ? stateOf(row, now) : null;
  const tried = lastAttempt(attempts, now);
  return (
    <div class="chips">
      {tried && (
        <Chip tone="bad" icon="stop">
          Ended secret tried {formatPast(tried, now)}
        </Chip>
      )}
      {!row.enabled && (
        <Chip tone="bad" icon="pause">
          Disabled
        </Chip>
      )}
      {verdict && (
        <>
          <Chip tone="live" icon="clock">
            Rollover, ends in {formatDuration(left)}
          </Chip>
          {row.enabled && (
            <Chip tone={verdict.tone satisfies Tone} icon={ICONS[verdict.tone]}>
              {verdict.short}
            </Chip>
          )}
        </>
      )}
    </div>
  );
}

function stateOf({ enabled, rollover }: AppRow, now: number): Verdict | null {
  if (!rollover) return null;
  return verdictOf(
    {
      enabled,
      advice: rollover.advice,
      reason: rollover.reason,
      endsAt: rollover.endsAt,
      newFirstUsedAt: rollover.newSecret.firstUsedAt,
      oldLastUsedAt: rollover.oldSecret.lastUsedAt,
      sources: null,
    },
    now,
  );
}

/** When an ended secret was last tried, if that was within a day: somebody may be locked out. */
function lastAttempt(attempts: AttemptsRow | undefined, now: number): string | null {
  const tried = (attempts?.secrets?.nodes ?? []).flatMap((secret) => secret.lastRefusedAt ?? []);
  const last = tried.sort().at(-1);
  return last && Date.parse(last) > now - DAY ? last : null;
}
