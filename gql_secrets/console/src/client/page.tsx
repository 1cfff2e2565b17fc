/** One client: the state of its secrets, who uses them, and what one may do about it. */

import { useEffect, useMemo, useRef } from "preact/hooks";
import { ResetDialog } from "../dialogs/reset";
import { CLIENT, CLIENT_AUDIT, CLIENT_HISTORY, type ClientView, type Viewer } from "../graphql/queries";
import { useQuery } from "../graphql/useQuery";
import { serverNow } from "../lib/clock";
import { useCommands } from "../lib/commands";
import { APPS_ADDRESS, listAddress } from "../lib/router";
import { ADMINISTERS } from "../lib/words";
import { type Source, sourcesOf } from "../rollover/sources";
import { useTitle } from "../shell/title";
import { ApiButton, type Operation } from "../ui/api";
import { Button, Chip } from "../ui/basics";
import { LoadingClient } from "../ui/bones";
import { CopyButton } from "../ui/copy";
import { openDialog } from "../ui/dialog";
import { Icon } from "../ui/icons";
import { FailureNote } from "../ui/notes";
import { About } from "./about";
import { Audit, DeletedAudit } from "./audit";
import { History } from "./history";
import { LockedOut } from "./lockedOut";
import { Secrets } from "./secrets";
import { Sources } from "./sources";
import { Summary } from "./summary";
import { Usage } from "./usage";
import { Verdict } from "./verdict";

export function ClientPage({ clientId, viewer }: { clientId: string; viewer: Viewer }) {
  const follow = (event: { clientId: string }) => event.clientId === clientId;
  const variables = variablesFor(clientId, viewer);
  const asked = useQuery(CLIENT, variables, { follow });
  const client = asked.answer?.data.client;
  const joined = useMemo<readonly Source[] | null>(
    () =>
      client ? sourcesOf(client, { allowList: client.allowList, enabled: client.enabled, now: serverNow() }) : null,
    [client],
  );
  useTitle(client?.name ?? "Authorized App");

  return (
    <>
      <nav class="crumbs" aria-label="Breadcrumb">
        <a href={listAddress()}>
          <Icon name="left" />
          Authorized Apps
        </a>
      </nav>
      {!asked.answer && <PassingHeading />}
      {asked.failure && asked.failure.kind !== "signed-out" && (
        <FailureNote failure={asked.failure} retry={asked.reload} />
      )}
      {!asked.answer && !asked.failure && <LoadingClient />}
      {asked.answer && !client && <Gone clientId={clientId} />}
      {client && (
        <>
          <Head client={client} sources={joined} operations={operationsFor(clientId, viewer)} />
          <LockedOut sources={joined} client={client} />
          <Verdict client={client} sources={joined} onEnd={asked.reload} />
          {!client.rollover && <Summary client={client} sources={joined} />}
          <div class="now-and-before">
            <div>
              <Secrets client={client} />
              {joined && <Sources sources={joined} rollover={client.rollover} />}
              <Usage client={client} />
            </div>
            <div>
              <History clientId={clientId} follow={follow} />
              {variables.audit && <Audit clientId={clientId} follow={follow} />}
              <About client={client} />
            </div>
          </div>
        </>
      )}
    </>
  );
}

/** The heading until the client's name is known; the focus then stays on the heading. */
function PassingHeading() {
  const hadFocus = useRef(false);
  useEffect(
    () => () => {
      // An element that is removed leaves the focus to the body.
      if (!hadFocus.current) return;
      setTimeout(() => {
        if (document.activeElement === document.body) document.querySelector<HTMLElement>("h1")?.focus();
      });
    },
    [],
  );
  const focused = () => {
    hadFocus.current = true;
  };
  return (
    <h1 class="hidden" tabIndex={-1} onFocus={focused}>
      Authorized App
    </h1>
  );
}

/** What this viewer may see of a client; the rest is not asked for. */
const variablesFor = (clientId: string, { roles }: Viewer) => ({
  clientId,
  sources: roles.includes("ADMIN") || roles.includes("OPERATOR"),
  audit: roles.includes("ADMIN"),
});

function Gone({ clientId }: { clientId: string }) {
  return (
    <>
      <div class="empty">
        <h1 tabIndex={-1}>There is no such client</h1>
        <p>
          No client has the id <code>{clientId}</code>. It may have been deleted.
        </p>
        <p>
          <a href={APPS_ADDRESS}>Back to Authorized Apps</a>
        </p>
      </div>
      <DeletedAudit clientId={clientId} />
    </>
  );
}

interface HeadProps {
  client: ClientView;
  sources: readonly Source[] | null;
  operations: readonly Operation[];
}

function Head({ client, sources, operations }: HeadProps) {
  const reset = () => openDialog((close) => <ResetDialog client={client} sources={sources} close={close} />);
  useCommands([client.viewerCanResetSecret && { words: "Reset Secret", run: reset }]);
  return (
    <div class="page-head">
      <div class="identity">
        <h1 tabIndex={-1}>{client.name}</h1>
        <div class="chips">
          {!client.enabled && (
            <Chip tone="bad" icon="pause">
              Disabled
            </Chip>
          )}
          {client.features.includes(ADMINISTERS) && <Chip tone="calm">Owner</Chip>}
          <span class="id-line">
            <span class="hidden">Client id </span>
            <code>{client.clientId}</code>
            <CopyButton text={client.clientId} label="Copy id" />
          </span>
        </div>
        {client.description && <p class="lead">{client.description}</p>}
      </div>
      <div class="head-actions">
        <ApiButton operations={operations} command={`gql-secrets client show ${client.clientId}`} />
        {client.viewerCanResetSecret && (
          <Button kind="primary" onClick={reset}>
            Reset Secret
          </Button>
        )}
      </div>
    </div>
  );
}

/** Everything that the page of a client asks for. */
function operationsFor(clientId: string, viewer: Viewer): readonly Operation[] {
  const variables = variablesFor(clientId, viewer);
  const page = { clientId, first: 10, after: null };
  return [
    { name: "Client", document: CLIENT, variables },
    { name: "History of secrets", document: CLIENT_HISTORY, variables: page },
    ...(variables.audit ? [{ name: "Audit trail", document: CLIENT_AUDIT, variables: page }] : []),
  ];
}
