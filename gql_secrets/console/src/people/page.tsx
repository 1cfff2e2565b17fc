/** People & sessions: who is signed in, for administrators. */

import { SESSIONS, type SessionRow } from "../graphql/adminQueries";
import type { Viewer } from "../graphql/queries";
import { useQuery } from "../graphql/useQuery";
import { useCommands } from "../lib/commands";
import { ROLE_WORDS, WAY_WORDS } from "../lib/words";
import { useTitle } from "../shell/title";
import { ApiButton } from "../ui/api";
import { At, Button, Empty, Scrolled, When } from "../ui/basics";
import { LoadingTable } from "../ui/bones";
import { openDialog } from "../ui/dialog";
import { PageFailure } from "../ui/notes";
import { Pager, usePaging } from "../ui/paging";
import { EndSessionDialog } from "./end";
import { LinkDialog } from "./link";

const PAGE_SIZE = 25;

export function PeoplePage({ viewer }: { viewer: Viewer }) {
  useTitle("People & sessions");
  const paging = usePaging();
  const variables = { first: PAGE_SIZE, after: paging.after };
  const asked = useQuery(SESSIONS, variables, { follow: () => false });
  const makeLink = () => openDialog((close) => <LinkDialog close={close} />);
  useCommands([viewer.canCreateSignInLink && { words: "Create sign-in link", run: makeLink }]);
  const sessions = asked.answer?.data.sessions;
  const forbidden = asked.failure?.kind === "forbidden" || Boolean(asked.answer?.denied.has("sessions"));
  return (
    <>
      <div class="page-head">
        <div>
          <h1 tabIndex={-1}>People & sessions</h1>
          <p class="lead">Who is signed in with a browser.</p>
        </div>
        <div class="head-actions">
          <ApiButton
            operations={[{ name: "Sessions", document: SESSIONS, variables }]}
            command="gql-secrets session list"
          />
          {viewer.canCreateSignInLink && (
            <Button kind="primary" onClick={makeLink}>
              Create sign-in link
            </Button>
          )}
        </div>
      </div>
      <PageFailure asked={asked} forbidden={forbidden && "who is signed in"} />
      {!sessions && !asked.failure && !forbidden && <LoadingTable what="the sessions" rows={3} />}
      {sessions && (
        <div class={`panel flush ${asked.waiting ? "waiting" : ""}`} aria-busy={asked.waiting}>
          {sessions.nodes.length > 0 ? (
            <SessionTable rows={sessions.nodes} viewer={viewer} reload={asked.reload} />
          ) : (
            <Empty title={paging.page > 0 ? "This page is empty" : "Nobody is signed in with a browser"} />
          )}
        </div>
      )}
      <div class="below-table">
        {sessions && <Pager paging={paging} size={PAGE_SIZE} connection={sessions} what="sessions" />}
      </div>
    </>
  );
}

interface SessionTableProps {
  rows: readonly SessionRow[];
  viewer: Viewer;
  reload: () => void;
}

function SessionTable({ rows, viewer, reload }: SessionTableProps) {
  return (
    <Scrolled label="Sessions">
      <table class="records stacked">
        <thead>
          <tr>
            <th scope="col">Person</th>
            <th scope="col">Role</th>
            <th scope="col">Signed in</th>
            <th scope="col">Last seen</th>
            <th scope="col">Ends</th>
            <th scope="col">
              <span class="hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.id}>
              <th scope="row">
                {row.name}
                {row.isViewersOwn && <span class="muted"> (this is you)</span>}
                <span class="second">
                  <code>{row.actor}</code>
                </span>
              </th>
              <td data-label="Role">{row.roles[0] && ROLE_WORDS[row.roles[0]]}</td>
              <td data-label="Signed in">
                <At at={row.startedAt} />
                <span class="second">
                  {WAY_WORDS[row.way]}
                  {row.address && `, from ${row.address}`}
                </span>
              </td>
              <td data-label="Last seen" class="nowrap">
                <When at={row.lastSeenAt} />
              </td>
              <td data-label="Ends" class="nowrap">
                <At at={row.expiresAt} />
              </td>
              <td class="nowrap row-act">{viewer.canEndSessions && <End row={row} reload={reload} />}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scrolled>
  );
}

/** One session, or all of the person: the dialog asks. */
function End({ row, reload }: { row: SessionRow; reload: () => void }) {
  return (
    <Button onClick={() => openDialog((close) => <EndSessionDialog session={row} onDone={reload} close={close} />)}>
      End session<span class="hidden"> of {row.name}</span>
    </Button>
  );
}
