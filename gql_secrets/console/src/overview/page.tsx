/** The home page: what needs attention today. Each tile is a list with an address of its own. */

import { BulkRevokeDialog } from "../dialogs/bulkRevoke";
import { CreateDialog } from "../dialogs/create";
import { RequestFailed, request } from "../graphql/client";
import { OVERVIEW, SAFE_TO_REVOKE, type Viewer } from "../graphql/queries";
import { useAction } from "../graphql/useAction";
import { useQuery } from "../graphql/useQuery";
import { useCommands } from "../lib/commands";
import { formatNumber, plural } from "../lib/format";
import type { Show, Sort } from "../lib/listView";
import { listAddressOf } from "../lib/router";
import { useTitle } from "../shell/title";
import { ApiButton } from "../ui/api";
import { Button, Loading } from "../ui/basics";
import { openDialog } from "../ui/dialog";
import { Icon, type IconName } from "../ui/icons";
import { FailureNote } from "../ui/notes";
import { say } from "../ui/toast";

type Count = "lockedOut" | "endingSoon" | "safeToRevoke" | "waiting" | "dueForRotation" | "neverUsed";

interface TileWords {
  readonly count: Count;
  readonly show: Show;
  readonly sort: Sort;
  readonly title: string;
  readonly hint: string;
  /** How it looks with something in it. */
  readonly tone: "bad" | "good" | "warn" | "calm";
  readonly icon: IconName;
}

const NOW: readonly TileWords[] = [
  {
    count: "lockedOut",
    show: "locked-out",
    sort: "newest",
    title: "Locked out",
    hint: "A secret that has ended was tried in the last 24 hours",
    tone: "bad",
    icon: "stop",
  },
  {
    count: "endingSoon",
    show: "ending-soon",
    sort: "rollover-end",
    title: "Ending soon, still used",
    hint: "The old secret ends within 24 hours and is still in use",
    tone: "bad",
    icon: "warn",
  },
  {
    count: "safeToRevoke",
    show: "safe-to-revoke",
    sort: "rollover-end",
    title: "Safe to revoke",
    hint: "The new secret is in use, and the old one has been quiet",
    tone: "good",
    icon: "check",
  },
];

const LATER: readonly TileWords[] = [
  {
    count: "waiting",
    show: "waiting",
    sort: "rollover-end",
    title: "Waiting",
    hint: "The new secret is not deployed everywhere yet",
    tone: "warn",
    icon: "clock",
  },
  {
    count: "dueForRotation",
    show: "due-for-rotation",
    sort: "secret-age-desc",
    title: "Due for rotation",
    hint: "Not reset for 90 days or longer",
    tone: "warn",
    icon: "key",
  },
  {
    count: "neverUsed",
    show: "never-used",
    sort: "oldest",
    title: "Never used",
    hint: "No secret of the client was ever used",
    tone: "calm",
    icon: "pause",
  },
];

/** The server counts at most once in five seconds. */
const COUNTED_EVERY = 5500;

export function OverviewPage({ viewer }: { viewer: Viewer }) {
  useTitle("Overview");
  const asked = useQuery(OVERVIEW, {}, { follow: () => true, lag: COUNTED_EVERY });
  const counts = asked.answer?.data.overview;
  const create = () => openDialog((close) => <CreateDialog close={close} />);
  useCommands([viewer.canCreateClient && { words: "Create client", run: create }]);
  const urgent = counts && counts.lockedOut + counts.endingSoon;
  // The first owner is a client too.
  const isFirstRun = counts && counts.total <= 1 && urgent === 0 && counts.safeToRevoke + counts.waiting === 0;
  return (
    <>
      <div class="page-head">
        <div>
          <h1 tabIndex={-1}>Overview</h1>
          <p class="lead" role="status">
            {counts ? headline(counts.total, urgent ?? 0, counts.safeToRevoke) : "What needs you today."}
          </p>
        </div>
        <div class="head-actions">
          <ApiButton
            operations={[{ name: "Overview", document: OVERVIEW, variables: {} }]}
            command="gql-secrets client list --in-rollover"
          />
          {viewer.canCreateClient && <Button onClick={create}>Create client</Button>}
        </div>
      </div>
      {asked.failure && asked.failure.kind !== "signed-out" && (
        <FailureNote failure={asked.failure} retry={asked.reload} />
      )}
      {!counts && !asked.failure && <Loading what="the overview" />}
      {isFirstRun && <FirstSteps onCreate={viewer.canCreateClient ? create : null} />}
      {counts && !isFirstRun && (
        <>
          <section aria-labelledby="now">
            <h2 id="now" class="tiles-title">
              Now
            </h2>
            <div class="tiles">
              {NOW.map((tile) => (
                <Tile key={tile.count} tile={tile} count={counts[tile.count]}>
                  {tile.count === "safeToRevoke" && counts.safeToRevoke > 0 && viewer.roles.includes("ADMIN") && (
                    <RevokeAll count={counts.safeToRevoke} onDone={asked.reload} />
                  )}
                </Tile>
              ))}
            </div>
          </section>
          <section aria-labelledby="later">
            <h2 id="later" class="tiles-title">
              Keep an eye on
            </h2>
            <div class="tiles">
              {LATER.map((tile) => (
                <Tile key={tile.count} tile={tile} count={counts[tile.count]} />
              ))}
            </div>
          </section>
          <p class="below-table">
            <a href={listAddressOf({})}>All {plural(counts.total, "client")}</a>
          </p>
        </>
      )}
    </>
  );
}

/** What an installation without clients shows in place of six zeros. */
function FirstSteps({ onCreate }: { onCreate: (() => void) | null }) {
  return (
    <section class="panel first-steps" aria-labelledby="first-steps">
      <h2 id="first-steps">Change a secret without an outage</h2>
      <ol>
        <li>
          <h3>Create a client</h3>
          <p>One for each application that calls your APIs. Its id and secret are shown once.</p>
        </li>
        <li>
          <h3>Let your gateway verify</h3>
          <p>
            It asks <code>/verify</code> about each request. From then on, you see who uses which secret.
          </p>
        </li>
        <li>
          <h3>Reset with a smooth rollover</h3>
          <p>The old secret keeps working for up to seven days, until every source has moved to the new one.</p>
        </li>
      </ol>
      {onCreate ? (
        <Button kind="primary" onClick={onCreate}>
          Create your first client
        </Button>
      ) : (
        <p class="muted">An administrator can create the first client.</p>
      )}
    </section>
  );
}

function headline(total: number, urgent: number, safe: number): string {
  if (urgent > 0) return `${plural(urgent, "client needs", "clients need")} you now.`;
  if (safe > 0) return `Nothing is urgent. ${plural(safe, "old secret")} can be revoked.`;
  return total <= 1 ? "Nothing to do yet: create a client to begin." : "Nothing needs you now.";
}

interface TileProps {
  tile: TileWords;
  count: number;
  children?: preact.ComponentChildren;
}

function Tile({ tile, count, children }: TileProps) {
  const { title, hint, icon, show, sort } = tile;
  return (
    <div class={`tile ${count > 0 ? tile.tone : "none"}`}>
      <a href={listAddressOf({ show, sort })}>
        <span class="tile-title">
          <Icon name={icon} />
          {title}
        </span>
        <span class="tile-count">{formatNumber(count)}</span>
        <span class="tile-hint">{hint}</span>
      </a>
      {children}
    </div>
  );
}

/** Read which ones there are now, and ask before any of them ends. */
function RevokeAll({ count, onDone }: { count: number; onDone: () => void }) {
  const action = useAction();
  const open = () =>
    action.run(async () => {
      try {
        const { data } = await request(SAFE_TO_REVOKE, {});
        const targets = (data.clients?.nodes ?? []).flatMap(({ clientId, name, rollover }) =>
          rollover?.advice === "REVOKE"
            ? [
                {
                  clientId,
                  name,
                  secretId: rollover.oldSecret.id,
                  hint: rollover.oldSecret.hint,
                  unmoved: (rollover.sourcesTotal ?? 0) - (rollover.sourcesMoved ?? 0),
                },
              ]
            : [],
        );
        if (targets.length === 0) say("No old secret is safe to revoke any more.");
        else openDialog((close) => <BulkRevokeDialog targets={targets} close={close} onDone={onDone} />);
      } catch (failure) {
        if (failure instanceof RequestFailed && failure.kind !== "signed-out") say(failure.message);
      }
    });
  return (
    <div class="tile-act">
      <Button onClick={open} disabled={action.pending}>
        {count === 1 ? "Revoke it" : `Revoke ${count > 100 ? "the first 100" : `all ${formatNumber(count)}`}`}
      </Button>
    </div>
  );
}
