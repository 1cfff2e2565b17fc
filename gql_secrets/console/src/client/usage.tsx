/** Uses per hour of the new and the old secret: one sees the old one fall to nothing. */

import { useMemo, useState } from "preact/hooks";
import { CLIENT_USAGE, type ClientUsage, type SecretUsage } from "../graphql/queries";
import { useQuery } from "../graphql/useQuery";
import { serverNow } from "../lib/clock";
import { formatHour, formatNumber } from "../lib/format";
import { Empty, Loading, Panel, Scrolled, ShowQuery } from "../ui/basics";
import { FailureNote } from "../ui/notes";
import { Chart } from "./chart";

const HOUR = 3_600_000;
/** What the server keeps: the life of a rollover and a day before. */
const MOST_HOURS = 192;
const HOURS_BEFORE_RESET = 6;
const HOURS_WITHOUT_RESET = 48;

export interface UsageHours {
  readonly hours: readonly number[];
  readonly fresh: readonly number[];
  readonly old: readonly number[] | null;
  readonly freshHint: string;
  readonly oldHint: string | null;
  readonly resetAt: number | null;
}

interface UsageProps {
  clientId: string;
  follow: (event: { clientId: string }) => boolean;
  resetAt: string | null;
}

export function Usage({ clientId, follow, resetAt }: UsageProps) {
  const asked = useQuery(CLIENT_USAGE, { clientId }, { follow });
  const [asTable, setAsTable] = useState(false);
  const client = asked.answer?.data.client;
  const usage = useMemo(() => client && usageOf(client, resetAt), [client, resetAt]);

  return (
    <Panel
      id="usage"
      title="Uses per hour"
      aside={
        <div class="segments small" role="group" aria-label="Show uses as">
          <button type="button" aria-pressed={!asTable} onClick={() => setAsTable(false)}>
            Chart
          </button>
          <button type="button" aria-pressed={asTable} onClick={() => setAsTable(true)}>
            Table
          </button>
        </div>
      }
    >
      {asked.failure && !usage && <FailureNote failure={asked.failure} retry={asked.reload} />}
      {!usage && !asked.failure && <Loading what="the uses" />}
      {usage && usage.fresh.every((count) => count === 0) && !usage.old?.some((count) => count > 0) ? (
        <Empty title="No uses in these hours." />
      ) : (
        usage && (asTable ? <UsageTable usage={usage} /> : <Chart usage={usage} />)
      )}
      <p class="panel-foot">
        <ShowQuery document={CLIENT_USAGE} variables={{ clientId }} of="the uses" />
      </p>
    </Panel>
  );
}

/** Lay both secrets' hours over one row of hours without gaps. */
function usageOf(client: ClientUsage, resetAt: string | null): UsageHours | null {
  const fresh = client.currentSecret;
  if (!fresh) return null;
  // After a rollover its old secret is still worth a look; one that was withdrawn unused replaced nothing.
  const ended = client.secrets?.nodes.find((secret) => secret.id !== fresh.id && secret.replacedAt);
  const before = client.oldSecret ?? ended;
  const last = Math.floor(serverNow() / HOUR) * HOUR;
  const reset = before ? Date.parse(resetAt ?? before.replacedAt ?? fresh.createdAt) : null;
  const recent = reset !== null && last - reset < MOST_HOURS * HOUR;
  const from = recent
    ? Math.floor(reset / HOUR) * HOUR - HOURS_BEFORE_RESET * HOUR
    : Math.max(last - HOURS_WITHOUT_RESET * HOUR, Math.floor(Date.parse(fresh.createdAt) / HOUR) * HOUR);
  const count = Math.min(MOST_HOURS, Math.max(6, (last - from) / HOUR + 1));
  const hours = Array.from({ length: count }, (_, index) => last - (count - 1 - index) * HOUR);
  return {
    hours,
    fresh: countsIn(hours, fresh),
    old: recent && before ? countsIn(hours, before) : null,
    freshHint: fresh.hint,
    oldHint: recent && before ? before.hint : null,
    resetAt: recent ? reset : null,
  };
}

function countsIn(hours: readonly number[], secret: SecretUsage): number[] {
  const counts = new Map(secret.usage.map((bucket) => [Date.parse(bucket.startsAt), bucket.count]));
  return hours.map((hour) => counts.get(hour) ?? 0);
}

function UsageTable({ usage }: { usage: UsageHours }) {
  const newestFirst = usage.hours.map((_, index) => usage.hours.length - 1 - index);
  return (
    <Scrolled label="Uses per hour">
      <table class="records hours">
        <thead>
          <tr>
            <th scope="col">Hour from</th>
            <th scope="col" class="number">
              {usage.old ? "New secret" : "Current secret"}
            </th>
            {usage.old && (
              <th scope="col" class="number">
                Old secret
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {newestFirst.map((index) => (
            <tr key={usage.hours[index]}>
              <th scope="row">{formatHour(usage.hours[index] ?? 0)}</th>
              <td class="number">{formatNumber(usage.fresh[index] ?? 0)}</td>
              {usage.old && <td class="number">{formatNumber(usage.old[index] ?? 0)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </Scrolled>
  );
}
