/** Uses per hour of the new and the old secret, and refused attempts: they show when the old one is no longer used. */

import { useMemo, useState } from "preact/hooks";
import type { ClientPageView } from "../graphql/queries";
import { serverNow } from "../lib/clock";
import { formatHour, formatNumber } from "../lib/format";
import { retentionChanges } from "../rollover/changes";
import { Empty, Panel, Scrolled } from "../ui/basics";
import { Chart } from "./chart";
import { isUnused, type UsageHours, usageOf } from "./usageHours";

const HOUR = 3_600_000;

export function Usage({ client }: { client: ClientPageView }) {
  const [asTable, setAsTable] = useState(false);
  const { rollover, currentSecret } = client;
  const usage = useMemo(() => usageOf(client, rollover?.startedAt ?? null, serverNow()), [client]);
  // Uses outside of the allow list were refused: they are not the first use that a rollover waits for.
  const firstUsedAt = rollover?.advice === "WAIT_FOR_NEW" ? null : currentSecret?.firstUsedAt;

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
      {!usage && <Empty title="This client has no secret" />}
      {usage && isUnused(usage) ? (
        <Empty title={`No uses in the last ${usage.hours.length} hours`} />
      ) : (
        usage &&
        (asTable ? (
          <UsageTable usage={usage} createdAt={client.createdAt} />
        ) : (
          <Chart
            usage={usage}
            firstUsedAt={firstUsedAt ? Date.parse(firstUsedAt) : null}
            changedAt={retentionChanges(client)}
            now={serverNow()}
          />
        ))
      )}
    </Panel>
  );
}

/** Only the hours since the client was created: of those before there is nothing to know. */
function UsageTable({ usage, createdAt }: { usage: UsageHours; createdAt: string }) {
  const newestFirst = usage.hours
    .map((_, index) => usage.hours.length - 1 - index)
    .filter((index) => (usage.hours[index] ?? 0) + HOUR > Date.parse(createdAt));
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
            {usage.refused && (
              <th scope="col" class="number">
                Refused
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
              {usage.refused && <td class="number">{formatNumber(usage.refused[index] ?? 0)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </Scrolled>
  );
}
