/** The state of a client without a rollover, in one sentence. */

import type { ClientView } from "../graphql/queries";
import { useNow } from "../lib/clock";
import { formatAge, formatPast, plural } from "../lib/format";
import { inState, type Source } from "../rollover/sources";
import { Icon } from "../ui/icons";

/** Where no maximum age is set. */
const DUE_AFTER = 90 * 86_400_000;

export function Summary({ client, sources }: { client: ClientView; sources: readonly Source[] | null }) {
  const now = useNow();
  const { currentSecret, enabled, rotationDueAt } = client;
  if (!currentSecret) return null;
  const using = inState(sources, "IN_USE").length;
  const age = formatAge(currentSecret.createdAt, now);
  const use = currentSecret.lastUsedAt
    ? `last used ${formatPast(currentSecret.lastUsedAt, now)}${using > 0 ? ` by ${plural(using, "source")}` : ""}`
    : "never used";
  const dueAt = rotationDueAt ? Date.parse(rotationDueAt) : Date.parse(currentSecret.createdAt) + DUE_AFTER;
  const due = now >= dueAt;
  return (
    <section class={`verdict summary ${enabled ? "" : "calm"}`} aria-labelledby="summary">
      <div class="verdict-words">
        <h2 id="summary">
          <Icon name={enabled ? "key" : "pause"} />
          {enabled ? `One secret, ${age} old, ${use}` : "Disabled: its secret is refused"}
        </h2>
        {due && enabled && <p>It is due for rotation: a smooth reset changes it without an outage.</p>}
      </div>
    </section>
  );
}
