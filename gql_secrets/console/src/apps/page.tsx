/** Authorized Apps: every client, a page at a time; what is shown, and in which order, is in the address. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { CreateDialog } from "../dialogs/create";
import { APPS, APPS_ATTEMPTS, type AppRow, type Viewer } from "../graphql/queries";
import { useQuery } from "../graphql/useQuery";
import { useCommands } from "../lib/commands";
import { plural } from "../lib/format";
import { EVERY_CLIENT, type ListView, listArguments } from "../lib/listView";
import { APPS_ADDRESS, currentRoute, goTo, listAddressOf } from "../lib/router";
import { looksLikeSecret } from "../lib/secrets";
import { createStore } from "../lib/store";
import { useTitle } from "../shell/title";
import { ApiButton } from "../ui/api";
import { Button } from "../ui/basics";
import { LoadingTable } from "../ui/bones";
import { openDialog } from "../ui/dialog";
import { Note, PageFailure } from "../ui/notes";
import { Pager, type Place, usePaging } from "../ui/paging";
import { Filters } from "./filters";
import { Nothing } from "./nothing";
import { SelectionBar } from "./selection";
import { AppsTable } from "./table";

const PAGE_SIZE = 25;
const TYPING_PAUSE = 150;
const NO_ROWS: readonly AppRow[] = [];

/** The page on which the list was left, for the way back to it. */
const left = createStore<Place>({ scope: APPS_ADDRESS, cursors: [] });

/** Change what the address shows of the list; nothing once it leads elsewhere, as it may before a pause is over. */
function change(next: Partial<ListView>, how?: { replace: boolean }): void {
  const route = currentRoute();
  if (route.page === "apps") goTo(listAddressOf({ ...route.view, ...next }), how);
}

export function AppsPage({ viewer, view }: { viewer: Viewer; view: ListView }) {
  useTitle("Authorized Apps");
  const address = listAddressOf(view);
  const [typed, setTyped] = useState(view.search);
  const paging = usePaging(address, left);

  // The address follows the box, and the box an address that comes from elsewhere.
  const written = useRef(view.search);
  useEffect(() => {
    if (typed === view.search || looksLikeSecret(typed)) return undefined;
    const timer = setTimeout(() => {
      written.current = typed;
      change({ search: typed }, { replace: true });
    }, TYPING_PAUSE);
    return () => clearTimeout(timer);
  }, [typed]);
  useEffect(() => {
    if (view.search !== written.current) setTyped(view.search);
    written.current = view.search;
  }, [view.search]);

  const variables = useMemo(
    () => ({ first: PAGE_SIZE, after: paging.after, ...listArguments(view) }),
    [paging.after, address],
  );
  const shownIds = useRef(new Set<string>());
  const changesOrder = view.show !== null || view.sort !== EVERY_CLIENT.sort;
  const apps = useQuery(APPS, variables, {
    follow: (event) => changesOrder || event.kind === "CREATED" || shownIds.current.has(event.clientId),
  });
  const clients = apps.answer?.data.clients;
  const attempts = useQuery(APPS_ATTEMPTS, variables, { follow: (event) => shownIds.current.has(event.clientId) });
  shownIds.current = new Set(clients?.nodes.map((client) => client.clientId));

  const rows = clients?.nodes ?? NO_ROWS;
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  useEffect(() => setChosen(new Set()), [address, paging.after]);
  const selectable = viewer.roles.includes("ADMIN");
  const create = () => openDialog((close) => <CreateDialog close={close} />);
  useCommands([viewer.canCreateClient && { words: "Create client", run: create }]);

  return (
    <>
      <div class="page-head">
        <div>
          <h1 tabIndex={-1}>Authorized Apps</h1>
          <p class="lead">The clients that may call your APIs, and the state of their secrets.</p>
        </div>
        <div class="head-actions">
          <ApiButton operations={[{ name: "This list", document: APPS, variables }]} command={commandFor(view)} />
          {viewer.canCreateClient && (
            <Button kind="primary" onClick={create}>
              Create client
            </Button>
          )}
        </div>
      </div>

      <Filters
        view={view}
        typed={typed}
        onType={setTyped}
        onChange={change}
        count={clients ? plural(clients.totalCount, "client") : ""}
      />

      {looksLikeSecret(typed) && (
        <Note tone="warn" title="That looks like a secret.">
          <p>It was not sent. Search by name or client id instead; you never need a secret here.</p>
        </Note>
      )}
      <PageFailure asked={apps} />
      {!clients && !apps.failure && <LoadingTable what="the clients" />}
      {clients && (
        <div class={`panel flush ${apps.waiting ? "waiting" : ""}`} aria-busy={apps.waiting}>
          {rows.length > 0 ? (
            <AppsTable
              rows={rows}
              attempts={attempts.answer?.data.clients?.nodes ?? []}
              sort={view.sort}
              onSort={(sort) => change({ sort })}
              {...(selectable && { chosen, onChoose: setChosen })}
            />
          ) : (
            <Nothing view={view} viewer={viewer} page={paging.page} />
          )}
        </div>
      )}
      {clients?.totalCount === 1 && viewer.canCreateClient && !isNarrowed(view) && (
        <p class="muted">One client so far. Create one for each application that calls your APIs.</p>
      )}
      <SelectionBar
        rows={rows.filter((row) => chosen.has(row.clientId))}
        onClear={() => setChosen(new Set())}
        onDone={apps.reload}
      />
      <div class="below-table">
        {clients && <Pager paging={paging} size={PAGE_SIZE} connection={clients} what="clients" />}
      </div>
    </>
  );
}

const isNarrowed = (view: ListView): boolean =>
  listAddressOf({ ...view, sort: EVERY_CLIENT.sort }) !== listAddressOf({});

/** The list on the command line, as far as that has the same filters. */
const commandFor = ({ search, show, labels }: ListView): string =>
  [
    "gql-secrets client list",
    search.trim() && `--search '${search.trim().replaceAll("'", "'\\''")}'`,
    show === "in-rollover" && "--in-rollover",
    ...labels.map((label) => `--label ${label}`),
  ]
    .filter(Boolean)
    .join(" ");
