/** The home page: what needs attention today, and what happened last. */

import { CreateDialog } from "../dialogs/create";
import { OVERVIEW, type OverviewView } from "../graphql/overviewQueries";
import type { Viewer } from "../graphql/queries";
import { useQuery } from "../graphql/useQuery";
import { useCommands } from "../lib/commands";
import { plural } from "../lib/format";
import { listAddressOf } from "../lib/router";
import { useTitle } from "../shell/title";
import { ApiButton } from "../ui/api";
import { Button } from "../ui/basics";
import { openDialog } from "../ui/dialog";
import { PageFailure } from "../ui/notes";
import { Attention, Rollovers } from "./attention";
import { FirstSteps } from "./firstSteps";
import { Latest } from "./latest";
import { LoadingOverview } from "./loading";
import { LATER, NOW, RevokeAll, Tile } from "./tiles";

/** The server counts at most once in five seconds. */
const COUNTED_AGAIN = [5500];

export function OverviewPage({ viewer }: { viewer: Viewer }) {
  useTitle("Overview");
  const variables = { activity: viewer.roles.includes("ADMIN") };
  const asked = useQuery(OVERVIEW, variables, { follow: () => true, again: COUNTED_AGAIN });
  const view = asked.answer?.data;
  const counts = view?.overview;
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
            {counts ? headline(counts.total, urgent ?? 0, counts.safeToRevoke) : "What needs your attention today."}
          </p>
        </div>
        <div class="head-actions">
          <ApiButton
            operations={[{ name: "Overview", document: OVERVIEW, variables }]}
            command="gql-secrets client list --in-rollover"
          />
          {viewer.canCreateClient && <Button onClick={create}>Create client</Button>}
        </div>
      </div>
      <PageFailure asked={asked} />
      {!counts && !asked.failure && <LoadingOverview />}
      {view && isFirstRun && (
        <div class="overview-columns">
          <FirstSteps onCreate={viewer.canCreateClient ? create : null} />
          <Latest events={view.auditEvents?.nodes} />
        </div>
      )}
      {view && counts && !isFirstRun && (
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
          <div class="overview-columns">
            <div>
              <Attention view={view} counts={counts} />
              <Rollovers view={view} counts={counts} />
            </div>
            <div>
              <Later counts={counts} />
              <Latest events={view.auditEvents?.nodes} />
            </div>
          </div>
        </>
      )}
    </>
  );
}

function Later({ counts }: { counts: NonNullable<OverviewView["overview"]> }) {
  return (
    <section class="panel" aria-labelledby="later">
      <header class="panel-head">
        <h2 id="later">Keep an eye on</h2>
        <a href={listAddressOf({})}>All {plural(counts.total, "client")}</a>
      </header>
      <div class="tiles rows">
        {LATER.map((tile) => (
          <Tile key={tile.count} tile={tile} count={counts[tile.count]} />
        ))}
      </div>
    </section>
  );
}

function headline(total: number, urgent: number, safe: number): string {
  if (urgent > 0) return `${plural(urgent, "client needs", "clients need")} you now.`;
  if (safe > 0) return `Nothing is urgent. ${plural(safe, "old secret")} can be revoked.`;
  return total <= 1 ? "Nothing to do yet: create a client to begin." : "Nothing needs your attention now.";
}
