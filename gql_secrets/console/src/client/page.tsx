/** One client: the state of its secrets, who uses them, and what one may do about it. */

import { useEffect, useMemo, useRef } from "preact/hooks";
import { ResetDialog } from "../dialogs/reset";
import {
  CLIENT,
  CLIENT_AUDIT,
  CLIENT_HISTORY,
  CLIENT_SOURCES,
  CLIENT_USAGE,
  type ClientSources,
  type ClientView,
} from "../graphql/queries";
import { useQuery } from "../graphql/useQuery";
import { serverNow } from "../lib/clock";
import { useCommands } from "../lib/commands";
import { APPS_ADDRESS, listAddress } from "../lib/router";
import { ADMINISTERS } from "../lib/words";
import { type Source, sourcesOf } from "../rollover/sources";
import { useTitle } from "../shell/title";
import { ApiButton, type Operation } from "../ui/api";
import { Button, Chip, Loading } from "../ui/basics";
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

export function ClientPage({ clientId }: { clientId: string }) {
  const follow = (event: { clientId: string }) => event.clientId === clientId;
  const asked = useQuery(CLIENT, { clientId }, { follow });
  const sources = useQuery(CLIENT_SOURCES, { clientId }, { follow });
  const client = asked.answer?.data.client;
  // The two queries may have seen different moments: uses count only for the secrets that are shown.
  const uses = client && isOfSameMoment(client, sources.answer?.data.client) ? sources.answer?.data.client : null;
  const joined = useMemo<readonly Source[] | null>(
    () => (client && uses ? sourcesOf(uses, { allowList: client.allowList, now: serverNow() }) : null),
    [client, uses],
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
      {!asked.answer && !asked.failure && <Loading what="the client" />}
      {asked.answer && !client && <Gone clientId={clientId} />}
      {client && (
        <>
          <Head client={client} sources={joined} />
          <LockedOut sources={joined} client={uses ?? null} />
          <Verdict client={client} sources={joined} onEnd={asked.reload} />
          {!client.rollover && <Summary client={client} sources={joined} />}
          <Secrets client={client} />
          {joined && <Sources sources={joined} rollover={client.rollover} />}
          <Usage
            clientId={clientId}
            follow={follow}
            resetAt={client.rollover?.startedAt ?? null}
            firstUsedAt={client.currentSecret?.firstUsedAt ?? null}
          />
          <History clientId={clientId} follow={follow} />
          <Audit clientId={clientId} follow={follow} />
          <About client={client} />
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

function isOfSameMoment(client: ClientView, sources: ClientSources | null | undefined): boolean {
  return sources?.currentSecret?.id === client.currentSecret?.id && sources?.oldSecret?.id === client.oldSecret?.id;
}

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

function Head({ client, sources }: { client: ClientView; sources: readonly Source[] | null }) {
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
        <ApiButton operations={operationsOf(client)} command={`gql-secrets client show ${client.clientId}`} />
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
function operationsOf({ clientId, viewerCanEdit }: ClientView): readonly Operation[] {
  const page = { clientId, first: 10, after: null };
  return [
    { name: "Client", document: CLIENT, variables: { clientId } },
    { name: "Sources", document: CLIENT_SOURCES, variables: { clientId } },
    { name: "Uses per hour", document: CLIENT_USAGE, variables: { clientId } },
    { name: "History of secrets", document: CLIENT_HISTORY, variables: page },
    ...(viewerCanEdit ? [{ name: "Audit trail", document: CLIENT_AUDIT, variables: page }] : []),
  ];
}
