/** The list's rows: each shows its state at a glance. */

import type { AppRow, AttemptsRow } from "../graphql/queries";
import { serverNow, useNow } from "../lib/clock";
import { formatAge, formatDuration, formatFully, formatPast } from "../lib/format";
import { latest } from "../lib/instants";
import type { Sort } from "../lib/listView";
import { clientAddress } from "../lib/router";
import { type Verdict, verdictOf } from "../rollover/verdict";
import { Chip, type Tone, When } from "../ui/basics";
import { Icon, type IconName } from "../ui/icons";

const DAY = 86_400_000;
const ICONS: Readonly<Record<Verdict["tone"], IconName>> = { good: "check", warn: "warn", bad: "warn", calm: "pause" };

interface AppsTableProps {
  rows: readonly AppRow[];
  attempts: readonly AttemptsRow[];
  sort: Sort;
  onSort: (sort: Sort) => void;
  /** The clients that are selected, where the viewer can change many together. */
  chosen?: ReadonlySet<string>;
  onChoose?: (chosen: ReadonlySet<string>) => void;
}

export function AppsTable({ rows, attempts, sort, onSort, chosen, onChoose }: AppsTableProps) {
  const heads = { sort, onSort };
  const choose = (clientIds: readonly string[], on: boolean) => {
    const next = new Set(chosen);
    for (const clientId of clientIds) on ? next.add(clientId) : next.delete(clientId);
    onChoose?.(next);
  };
  const all = chosen !== undefined && rows.every((row) => chosen.has(row.clientId));
  return (
    <table class="apps">
      <thead>
        <tr>
          {chosen && (
            <th scope="col" class="choose">
              <input
                type="checkbox"
                aria-label="Select all on this page"
                checked={all}
                onChange={(event) =>
                  choose(
                    rows.map((row) => row.clientId),
                    event.currentTarget.checked,
                  )
                }
              />
            </th>
          )}
          <Head {...heads} words="Client" up="name" down="name-desc" />
          <Head {...heads} words="State" up="rollover-end" down="rollover-end-desc" />
          <Head {...heads} words="Secret age" up="secret-age" down="secret-age-desc" downFirst />
          <Head {...heads} words="Last used" up="last-used" down="last-used-desc" downFirst />
          <th scope="col">Old secret last used</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.id} class={chosen?.has(row.clientId) ? "chosen" : ""}>
            {chosen && (
              <td class="choose">
                <input
                  type="checkbox"
                  aria-label={`Select ${row.name}`}
                  checked={chosen.has(row.clientId)}
                  onChange={(event) => choose([row.clientId], event.currentTarget.checked)}
                />
              </td>
            )}
            <th scope="row">
              <a class="row-link" href={clientAddress(row.clientId)}>
                {row.name}
              </a>
              <code class="client-id">{row.clientId}</code>
            </th>
            <td class={hasState(row, attempts) ? "" : "nothing"}>
              <States row={row} attempts={attempts.find((each) => each.clientId === row.clientId)} />
            </td>
            <td data-label="Secret age" class="nowrap">
              {row.currentSecret ? <Age at={row.currentSecret.createdAt} /> : <span class="muted">none</span>}
            </td>
            <td data-label="Last used" class="nowrap">
              <When at={row.currentSecret?.lastUsedAt} />
            </td>
            <td data-label="Old secret last used" class={row.rollover ? "nowrap" : "nowrap nothing"}>
              {row.rollover && <When at={row.rollover.oldSecret.lastUsedAt} />}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

interface HeadProps {
  words: string;
  sort: Sort;
  onSort: (sort: Sort) => void;
  up: Sort;
  down: Sort;
  /** Which direction the first click means. */
  downFirst?: boolean;
}

/** A column's head that sorts by it; a second click turns the order round. */
function Head({ words, sort, onSort, up, down, downFirst = false }: HeadProps) {
  const [first, second] = downFirst ? [down, up] : [up, down];
  const order = sort === up ? "ascending" : sort === down ? "descending" : undefined;
  return (
    <th scope="col" aria-sort={order}>
      <button type="button" class="sort" onClick={() => onSort(sort === first ? second : first)}>
        {words}
        {order && <Icon name={order === "ascending" ? "up" : "down"} />}
      </button>
    </th>
  );
}

function Age({ at }: { at: string }) {
  const now = useNow();
  return (
    <time dateTime={at} title={formatFully(at)}>
      {formatAge(at, now)}
    </time>
  );
}

const hasState = (row: AppRow, attempts: readonly AttemptsRow[]): boolean =>
  !row.enabled ||
  row.rollover !== null ||
  lastAttempt(
    row,
    attempts.find((each) => each.clientId === row.clientId),
    serverNow(),
  ) !== null;

function States({ row, attempts }: { row: AppRow; attempts: AttemptsRow | undefined }) {
  const now = useNow();
  const left = row.rollover ? Date.parse(row.rollover.endsAt) - now : 0;
  const verdict = left > 0 ? stateOf(row, now) : null;
  const tried = lastAttempt(row, attempts, now);
  return (
    <div class="chips">
      {tried && (
        <Chip tone="bad" icon="stop">
          {row.enabled ? "Ended secret tried" : "Refused"} {formatPast(tried, now)}
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
          {row.rollover && Boolean(row.rollover.sourcesTotal) && (
            <span class="muted">
              {row.rollover.sourcesMoved} of {row.rollover.sourcesTotal} moved
            </span>
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
      moved: rollover.sourcesMoved ?? 0,
      total: rollover.sourcesTotal ?? 0,
    },
    now,
  );
}

/**
 * When a secret that has ended, or any secret of a disabled client, was last tried, if that was within a day: somebody
 * may be locked out.
 */
function lastAttempt({ enabled }: AppRow, attempts: AttemptsRow | undefined, now: number): string | null {
  const tried = (attempts?.secrets?.nodes ?? []).flatMap(({ endedAt, lastRefusedAt }) =>
    lastRefusedAt && (endedAt !== null || !enabled) ? [lastRefusedAt] : [],
  );
  const last = latest(tried);
  return last && Date.parse(last) > now - DAY ? last : null;
}
