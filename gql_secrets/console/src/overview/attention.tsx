/** The first clients behind the counts of the home page, by name, with what one may do about each. */

import type { ComponentChildren } from "preact";
import { RetentionDialog, RevokeDialog } from "../dialogs/rollover";
import type { LockedOutClient, OverviewView } from "../graphql/overviewQueries";
import type { ClientView } from "../graphql/queries";
import { useNow } from "../lib/clock";
import { formatDuration, formatNumber, formatPast, plural } from "../lib/format";
import { latest } from "../lib/instants";
import type { Show, Sort } from "../lib/listView";
import { isAtMaximum } from "../lib/retention";
import { clientAddress, listAddressOf } from "../lib/router";
import { rolloverFacts } from "../rollover/facts";
import { verdictOf } from "../rollover/verdict";
import { Button, Empty, Panel } from "../ui/basics";
import { openDialog } from "../ui/dialog";
import { Icon, type IconName } from "../ui/icons";

const DAY = 86_400_000;
const MINUTE = 60_000;
const SHOWN = 4;

interface AttentionProps {
  view: OverviewView;
  counts: NonNullable<OverviewView["overview"]>;
}

/** Who is locked out, who will be, and which old secrets can go. */
export function Attention({ view, counts }: AttentionProps) {
  const lockedOut = view.lockedOut?.nodes ?? [];
  const endingSoon = view.endingSoon?.nodes ?? [];
  const safe = view.safeToRevoke?.nodes ?? [];
  const isCalm = lockedOut.length + endingSoon.length + safe.length === 0;
  return (
    <Panel id="attention" title="Needs attention">
      {isCalm && (
        <Empty title="Nothing needs attention">
          <p>
            Clients appear here when a source is locked out, when an old secret that is still used ends within 24 hours,
            and when one is safe to revoke.
          </p>
        </Empty>
      )}
      {!isCalm && (
        <ul class="actions-list" aria-label="Clients that need attention">
          {lockedOut.map((client) => (
            <LockedOut key={client.id} client={client} />
          ))}
          <More count={counts.lockedOut - lockedOut.length} words="locked out" show="locked-out" sort="newest" />
          {endingSoon.map((client) => (
            <InRollover key={client.id} client={client} action="extend" />
          ))}
          <More
            count={counts.endingSoon - endingSoon.length}
            words="ending soon"
            show="ending-soon"
            sort="rollover-end"
          />
          {safe.map((client) => (
            <InRollover key={client.id} client={client} action="revoke" />
          ))}
          <More
            count={counts.safeToRevoke - safe.length}
            words="safe to revoke"
            show="safe-to-revoke"
            sort="rollover-end"
          />
        </ul>
      )}
    </Panel>
  );
}

/** The rollovers that only need time, those that end first at the top. */
export function Rollovers({ view, counts }: AttentionProps) {
  const soon = new Set(view.endingSoon?.nodes.map((client) => client.id));
  const waiting = (view.waiting?.nodes ?? []).filter((client) => !soon.has(client.id)).slice(0, SHOWN);
  if (waiting.length === 0) return null;
  return (
    <Panel id="rollovers" title="Rollovers in progress">
      <ul class="actions-list" aria-label="Rollovers in progress">
        {waiting.map((client) => (
          <InRollover key={client.id} client={client} />
        ))}
        <More
          count={counts.waiting - counts.endingSoon - waiting.length}
          words="in rollover"
          show="waiting"
          sort="rollover-end"
        />
      </ul>
    </Panel>
  );
}

function LockedOut({ client }: { client: LockedOutClient }) {
  const now = useNow();
  const tried = (client.secrets?.nodes ?? []).filter(
    ({ endedAt, lastRefusedAt }) => endedAt !== null && lastRefusedAt && Date.parse(lastRefusedAt) > now - DAY,
  );
  const last = latest(tried.map((secret) => secret.lastRefusedAt));
  const attempts = tried.reduce((sum, secret) => sum + secret.refusedAttempts, 0);
  return (
    <Row client={client} tone="bad" icon="stop">
      {last
        ? `Ended secret tried ${plural(attempts, "time")}, last ${formatPast(last, now)}`
        : "A secret that has ended was tried"}
    </Row>
  );
}

const ICONS: Readonly<Record<"good" | "warn" | "bad" | "calm", IconName>> = {
  good: "check",
  warn: "clock",
  bad: "warn",
  calm: "pause",
};

function InRollover({ client, action }: { client: ClientView; action?: "extend" | "revoke" }) {
  const now = useNow();
  const { rollover, oldSecret } = client;
  const facts = rolloverFacts(client, null);
  if (!rollover || !oldSecret || !facts) return null;
  const { tone, headline } = verdictOf(facts, now);
  const left = Math.max(0, Date.parse(rollover.endsAt) - now);
  const shared = { client, oldSecret, sources: null };
  const button =
    action === "revoke" && client.viewerCanRevokeOldSecret ? (
      <Button onClick={() => openDialog((close) => <RevokeDialog {...shared} close={close} />)}>
        Revoke
        <Of client={client} />
      </Button>
    ) : action === "extend" && client.viewerCanSmoothReset && !isAtMaximum(rollover) ? (
      <Button onClick={() => openDialog((close) => <RetentionDialog {...shared} close={close} />)}>
        Extend
        <Of client={client} />
      </Button>
    ) : null;
  return (
    <Row client={client} tone={tone} icon={ICONS[tone]} action={button}>
      {headline}
      {tone !== "bad" && (
        <>
          {" · "}
          <span class="nowrap">ends in {formatDuration(left < MINUTE ? left : left - (left % MINUTE))}</span>
        </>
      )}
    </Row>
  );
}

const Of = ({ client }: { client: { readonly name: string } }) => <span class="hidden"> {client.name}</span>;

interface RowProps {
  client: { readonly clientId: string; readonly name: string };
  tone: "good" | "warn" | "bad" | "calm";
  icon: IconName;
  action?: ComponentChildren;
  children: ComponentChildren;
}

/** The whole row leads to the client; the action is above it. */
function Row({ client, tone, icon, action, children }: RowProps) {
  return (
    <li class={`action-row ${tone}`}>
      <Icon name={icon} />
      <div>
        <a class="row-link" href={clientAddress(client.clientId)}>
          {client.name}
        </a>
        <span class="second">{children}</span>
      </div>
      {action ?? (
        <span class="action-go">
          <Icon name="right" />
        </span>
      )}
    </li>
  );
}

function More({ count, words, show, sort }: { count: number; words: string; show: Show; sort: Sort }) {
  if (count <= 0) return null;
  return (
    <li class="action-more">
      <a href={listAddressOf({ show, sort })}>
        {formatNumber(count)} more {words}
      </a>
    </li>
  );
}
