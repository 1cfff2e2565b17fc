/** Authorized Apps: every client, a page at a time. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { CreateDialog } from "../dialogs/create";
import { APPS, APPS_ATTEMPTS, type Viewer } from "../graphql/queries";
import { useQuery } from "../graphql/useQuery";
import { formatNumber } from "../lib/format";
import { APPS_ADDRESS, IN_ROLLOVER_ADDRESS } from "../lib/router";
import { useTitle } from "../shell/title";
import { Button, Empty, Loading, ShowQuery } from "../ui/basics";
import { openDialog } from "../ui/dialog";
import { Icon } from "../ui/icons";
import { FailureNote, Note } from "../ui/notes";
import { Pager, usePaging } from "../ui/paging";
import { AppsTable } from "./table";

const PAGE_SIZE = 25;
const TYPING_PAUSE = 150;

// The list is found again as it was left. The search is not in the address: people sometimes paste a secret into
// a search box.
let left = { search: "", inRollover: false, cursors: [] as readonly string[] };

const looksLikeSecret = (text: string): boolean => /^\s*gqls_/i.test(text);

export function AppsPage({ viewer, inRollover }: { viewer: Viewer; inRollover: boolean }) {
  useTitle("Authorized Apps");
  const [typed, setTyped] = useState(left.search);
  const [search, setSearch] = useState(left.search);
  const paging = usePaging(left.inRollover === inRollover ? left.cursors : [], (cursors) => {
    left = { ...left, cursors };
  });
  const searchBox = useRef<HTMLInputElement>(null);

  useEffect(() => {
    if (typed === search || looksLikeSecret(typed)) return undefined;
    const timer = setTimeout(() => {
      setSearch(typed);
      paging.restart();
    }, TYPING_PAUSE);
    return () => clearTimeout(timer);
  }, [typed]);
  useEffect(() => {
    if (left.inRollover !== inRollover) paging.restart();
    left = { ...left, search, inRollover };
  }, [search, inRollover]);
  useSlashToSearch(searchBox);

  const variables = useMemo(
    () => ({
      first: PAGE_SIZE,
      after: paging.after,
      search: search.trim() || null,
      filter: inRollover ? { inRollover } : null,
    }),
    [paging.after, search, inRollover],
  );
  const shownIds = useRef(new Set<string>());
  const apps = useQuery(APPS, variables, {
    follow: (event) => event.kind === "CREATED" || shownIds.current.has(event.clientId),
  });
  const clients = apps.answer?.data.clients;
  const attempts = useQuery(APPS_ATTEMPTS, variables, { follow: (event) => shownIds.current.has(event.clientId) });
  shownIds.current = new Set(clients?.nodes.map((client) => client.clientId));

  const choose = (only: boolean) => {
    if (only === inRollover) return;
    paging.restart();
    location.hash = only ? IN_ROLLOVER_ADDRESS : APPS_ADDRESS;
  };

  return (
    <>
      <div class="page-head">
        <div>
          <h1 tabIndex={-1}>Authorized Apps</h1>
          <p class="lead">The clients that may call your APIs, and the state of their secrets.</p>
        </div>
        {viewer.canCreateClient && (
          <Button kind="primary" onClick={() => openDialog((close) => <CreateDialog close={close} />)}>
            Create client
          </Button>
        )}
      </div>

      <div class="toolbar">
        <div class="search">
          <Icon name="search" />
          <input
            ref={searchBox}
            type="search"
            aria-label="Search by name or client id"
            placeholder="Search by name or client id"
            value={typed}
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
        </div>
        <div class="segments" role="group" aria-label="Which clients">
          <button type="button" aria-pressed={!inRollover} onClick={() => choose(false)}>
            All
          </button>
          <button type="button" aria-pressed={inRollover} onClick={() => choose(true)}>
            In rollover
          </button>
        </div>
        <p class="count muted" role="status">
          {clients && `${formatNumber(clients.totalCount)} ${clients.totalCount === 1 ? "client" : "clients"}`}
        </p>
      </div>

      {looksLikeSecret(typed) && (
        <Note tone="warn" title="That looks like a secret.">
          <p>It was not sent. Search by name or client id instead; you never need a secret here.</p>
        </Note>
      )}
      {apps.failure && apps.failure.kind !== "signed-out" && <FailureNote failure={apps.failure} retry={apps.reload} />}
      {!clients && !apps.failure && <Loading what="the clients" />}
      {clients && (
        <div class={`panel flush ${apps.waiting ? "waiting" : ""}`} aria-busy={apps.waiting}>
          {clients.nodes.length > 0 ? (
            <AppsTable rows={clients.nodes} attempts={attempts.answer?.data.clients?.nodes ?? []} />
          ) : (
            <Nothing search={search} inRollover={inRollover} viewer={viewer} page={paging.page} />
          )}
        </div>
      )}
      <div class="below-table">
        <ShowQuery document={APPS} variables={variables} of="this list" />
        {clients && (
          <Pager
            paging={paging}
            size={PAGE_SIZE}
            shown={clients.nodes.length}
            total={clients.totalCount}
            pageInfo={clients.pageInfo}
            what="clients"
          />
        )}
      </div>
    </>
  );
}

interface NothingProps {
  search: string;
  inRollover: boolean;
  viewer: Viewer;
  page: number;
}

function Nothing({ search, inRollover, viewer, page }: NothingProps) {
  if (page > 0) return <Empty title="This page is empty" />;
  if (search) {
    return (
      <Empty title={`No results for “${search}”${inRollover ? " among the clients in rollover" : ""}`}>
        <p>One or two characters find only words that begin with them.</p>
      </Empty>
    );
  }
  if (inRollover) {
    return (
      <Empty title="No rollover is running">
        <p>After a smooth reset, clients appear here until their old secret expires.</p>
      </Empty>
    );
  }
  return (
    <Empty title="No clients yet">
      <p>{viewer.canCreateClient ? "Create the first one." : "An administrator can create the first one."}</p>
    </Empty>
  );
}

/** "/" goes to the search box, as on many sites, unless one is typing. */
function useSlashToSearch(box: { readonly current: HTMLInputElement | null }): void {
  useEffect(() => {
    const follow = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && event.target.closest("input, textarea, dialog");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      box.current?.focus();
    };
    addEventListener("keydown", follow);
    return () => removeEventListener("keydown", follow);
  }, []);
}
