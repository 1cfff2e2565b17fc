/** The list's rows: each tells its state at a glance. */

import type { AppRow } from "../graphql/queries";
import { useNow } from "../lib/clock";
import { formatDuration } from "../lib/format";
import { clientAddress } from "../lib/router";
import { Chip, Hint, When } from "../ui/basics";
import { ADVICE_WORDS } from "../lib/words";

export function AppsTable({ rows }: { rows: readonly AppRow[] }) {
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
              <States row={row} />
            </td>
            <td data-label="Current secret">
              {row.currentSecret ? (
                <>
                  <Hint hint={row.currentSecret.hint} />{" "}
                  <span class="muted nowrap">
                    made <When at={row.currentSecret.createdAt} />
                  </span>
                </>
              ) : (
                <span class="muted">none</span>
              )}
            </td>
            <td data-label="Last used" class="nowrap">
              <When at={row.currentSecret?.lastUsedAt} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function States({ row }: { row: AppRow }) {
  const now = useNow();
  const { rollover } = row;
  const left = rollover ? Date.parse(rollover.endsAt) - now : 0;
  const running = left > 0;
  return (
    <div class="chips">
      {!row.enabled && (
        <Chip tone="bad" icon="pause">
          Disabled
        </Chip>
      )}
      {rollover && running && (
        <>
          <Chip tone="live" icon="clock">
            Rollover, ends in {formatDuration(left)}
          </Chip>
          <Chip tone={ADVICE_WORDS[rollover.advice].tone} icon={ADVICE_WORDS[rollover.advice].icon}>
            {ADVICE_WORDS[rollover.advice].short}
          </Chip>
        </>
      )}
      {row.enabled && !running && <Chip tone="calm">One secret</Chip>}
    </div>
  );
}
