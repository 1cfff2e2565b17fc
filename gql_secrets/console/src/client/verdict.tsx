/** The banner of a running rollover: what it needs, how long the old secret has left, and what one may do. */

import { useEffect } from "preact/hooks";
import { CancelDialog, RetentionDialog, RevokeDialog } from "../dialogs/rollover";
import type { ClientPageView, ClientView } from "../graphql/queries";
import { useNow } from "../lib/clock";
import { type Command, useCommands } from "../lib/commands";
import { formatCountdown, formatMoment, withLocalInstants } from "../lib/format";
import { isAtMaximum, MAX_RETENTION } from "../lib/retention";
import { rolloverFacts } from "../rollover/facts";
import type { Source } from "../rollover/sources";
import { type Verdict as Finding, verdictOf } from "../rollover/verdict";
import { Button } from "../ui/basics";
import { openDialog } from "../ui/dialog";
import { Icon, type IconName } from "../ui/icons";
import { Timeline } from "./timeline";

const ICONS: Readonly<Record<Finding["tone"], IconName>> = { good: "check", warn: "warn", bad: "warn", calm: "pause" };

/** The buttons of a running rollover, for the command palette. */
function commandsOf(client: ClientView, sources: readonly Source[] | null): readonly Command[] {
  const { oldSecret } = client;
  if (!client.rollover || !oldSecret || !client.viewerCanRevokeOldSecret) return [];
  const shared = { client, oldSecret, sources };
  return [
    {
      words: "Revoke Old Secret",
      run: () => openDialog((close) => <RevokeDialog {...shared} close={close} />),
    },
    {
      words: "Change retention",
      run: () => openDialog((close) => <RetentionDialog {...shared} close={close} />),
    },
    ...(client.currentSecret?.firstUsedAt
      ? []
      : [{ words: "Cancel rollover", run: () => openDialog((close) => <CancelDialog {...shared} close={close} />) }]),
  ];
}

interface VerdictProps {
  client: ClientPageView;
  sources: readonly Source[] | null;
  /** Called when the countdown is over: what was read before is outdated. */
  onEnd: () => void;
}

export function Verdict({ client, sources, onEnd }: VerdictProps) {
  const now = useNow();
  const { rollover, oldSecret } = client;
  const ended = rollover !== null && Date.parse(rollover.endsAt) <= now;
  useEffect(() => {
    if (ended) onEnd();
  }, [ended]);
  const facts = rolloverFacts(client, sources);
  useCommands(commandsOf(client, sources));
  if (!rollover || !oldSecret || !facts) return null;
  const { tone, headline, detail, first } = verdictOf(facts, now);
  const [starts, ends] = [Date.parse(rollover.startedAt), Date.parse(rollover.endsAt)];
  const atMaximum = isAtMaximum(rollover);
  // There is nothing to extend then; the first step is to deploy the new secret.
  const extendFirst = first === "extend" && !atMaximum;
  const shared = { client, oldSecret, sources };
  // What the advice names comes first, and what it warns of comes last.
  const revoke = (
    <Button
      kind={first === "revoke" ? "primary" : "danger"}
      onClick={() => openDialog((close) => <RevokeDialog {...shared} close={close} />)}
    >
      Revoke Old Secret
    </Button>
  );
  const extend = (
    <Button
      kind={extendFirst ? "primary" : "plain"}
      onClick={() => openDialog((close) => <RetentionDialog {...shared} close={close} />)}
    >
      {extendFirst ? "Extend" : "Change retention"}
    </Button>
  );

  return (
    <section class={`verdict ${tone}`} aria-labelledby="verdict">
      <div class="verdict-words">
        <h2 id="verdict">
          <Icon name={ICONS[tone]} />
          {headline}
        </h2>
        <p>{withLocalInstants(detail, now)}</p>
        {client.viewerCanSmoothReset && client.viewerCanRevokeOldSecret && atMaximum && (
          <p class="muted">
            It cannot be extended: it already has the maximum of {MAX_RETENTION.days} days after the reset.
          </p>
        )}
        {client.viewerCanRevokeOldSecret && (
          <div class="verdict-actions">
            {first === "revoke" && revoke}
            {extend}
            {!client.currentSecret?.firstUsedAt && (
              <Button onClick={() => openDialog((close) => <CancelDialog {...shared} close={close} />)}>
                Cancel rollover
              </Button>
            )}
            {first !== "revoke" && revoke}
          </div>
        )}
      </div>
      <Timeline client={client} />
      <div class="countdown">
        <p class="countdown-label">The old secret ends in</p>
        <p class="countdown-time" role="timer">
          {formatCountdown(ends - now)}
        </p>
        <progress
          max={ends - starts}
          value={Math.min(ends - starts, Math.max(0, now - starts))}
          aria-label="Time passed"
        />
        <p class="muted">{formatMoment(ends, now)}</p>
      </div>
    </section>
  );
}
