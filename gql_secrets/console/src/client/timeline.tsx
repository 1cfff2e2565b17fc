/** How far a rollover has come: reset, first use of the new secret, sources moved, end. */

import type { ClientPageView } from "../graphql/queries";
import { useNow } from "../lib/clock";
import { formatMoment, formatPast } from "../lib/format";
import { retentionChanges } from "../rollover/changes";

interface Step {
  readonly words: string;
  readonly detail: string;
  readonly done: boolean;
}

export function Timeline({ client }: { client: ClientPageView }) {
  const now = useNow();
  const steps = stepsOf(client, now);
  const current = steps.findIndex((step) => !step.done);
  return (
    <ol class="timeline" aria-label="Rollover">
      {steps.map((step, index) => (
        <li
          key={step.words}
          class={step.done ? "done" : index === current ? "current" : ""}
          aria-current={index === current ? "step" : undefined}
        >
          <span class="timeline-words">{step.words}</span>
          <span class="timeline-detail">{step.detail}</span>
        </li>
      ))}
    </ol>
  );
}

function stepsOf(client: ClientPageView, now: number): readonly Step[] {
  const { rollover, currentSecret, oldSecret } = client;
  if (!rollover) return [];
  const [moved, total] = [rollover.sourcesMoved ?? 0, rollover.sourcesTotal ?? 0];
  const firstUsedAt = currentSecret?.firstUsedAt;
  // Uses from elsewhere than the allow list's networks were refused: the new secret is deployed nowhere yet.
  const inUse = Boolean(firstUsedAt) && rollover.advice !== "WAIT_FOR_NEW";
  const [changed] = retentionChanges(client);
  return [
    { words: "Reset", detail: formatMoment(rollover.startedAt, now), done: true },
    {
      words: "New secret in use",
      detail: firstUsedAt && inUse ? `since ${formatMoment(firstUsedAt, now)}` : "not yet",
      done: inUse,
    },
    {
      words: "Sources moved",
      detail: total > 0 ? `${moved} of ${total}` : "none seen",
      done: total > 0 && moved === total,
    },
    {
      words: "Old secret quiet",
      detail: oldSecret?.lastUsedAt ? `last used ${formatPast(oldSecret.lastUsedAt, now)}` : "never used",
      done: rollover.advice === "REVOKE",
    },
    {
      words: "Old secret ends",
      detail: [formatMoment(rollover.endsAt, now), changed && `changed ${formatPast(changed, now)}`]
        .filter(Boolean)
        .join(", "),
      done: Date.parse(rollover.endsAt) <= now,
    },
  ];
}
