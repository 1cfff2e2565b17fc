/** One app: how its secrets stand, who uses them, and what one may do about it. */

import { CLIENT, CLIENT_SOURCES, type ClientView } from "../graphql/queries";
import { useQuery } from "../graphql/useQuery";
import { APPS_ADDRESS } from "../lib/router";
import { ADMINISTERS, FEATURES, featureName } from "../lib/words";
import { useTitle } from "../shell/title";
import { At, Button, Chip, Loading, Panel, ShowQuery } from "../ui/basics";
import { CopyButton } from "../ui/copy";
import { openDialog } from "../ui/dialog";
import { Icon } from "../ui/icons";
import { FailureNote } from "../ui/notes";
import { EditDialog } from "../dialogs/edit";
import { DeleteDialog, EnableDialog } from "../dialogs/lifecycle";
import { ResetDialog } from "../dialogs/reset";
import { Audit } from "./audit";
import { History } from "./history";
import { Secrets } from "./secrets";
import { Usage } from "./usage";
import { Verdict } from "./verdict";

export function ClientPage({ clientId }: { clientId: string }) {
  const follow = (event: { clientId: string }) => event.clientId === clientId;
  const asked = useQuery(CLIENT, { clientId }, { follow });
  const sources = useQuery(CLIENT_SOURCES, { clientId }, { follow });
  const client = asked.answer?.data.client;
  useTitle(client?.name ?? "Authorized App");

  return (
    <>
      <nav class="crumbs" aria-label="Breadcrumb">
        <a href={APPS_ADDRESS}>
          <Icon name="left" />
          Authorized Apps
        </a>
      </nav>
      {!asked.answer && (
        <h1 class="hidden" tabIndex={-1}>
          Authorized App
        </h1>
      )}
      {asked.failure && asked.failure.kind !== "signed-out" && (
        <FailureNote failure={asked.failure} retry={asked.reload} />
      )}
      {!asked.answer && !asked.failure && <Loading what="the client" />}
      {asked.answer && !client && <Gone clientId={clientId} />}
      {client && (
        <>
          <Head client={client} />
          <Verdict
            client={client}
            sources={sources.answer?.data.client?.oldSecret?.uses ?? null}
            onEnd={asked.reload}
          />
          <Secrets client={client} sources={sources.answer?.data.client ?? null} />
          <Usage clientId={clientId} follow={follow} resetAt={client.rollover?.startedAt ?? null} />
          <History clientId={clientId} follow={follow} />
          <Audit clientId={clientId} follow={follow} />
          <About client={client} />
        </>
      )}
    </>
  );
}

function Gone({ clientId }: { clientId: string }) {
  return (
    <div class="empty">
      <h1 tabIndex={-1}>There is no such client</h1>
      <p>
        Nothing is known by the id <code>{clientId}</code>, or it was deleted.
      </p>
      <p>
        <a href={APPS_ADDRESS}>Back to Authorized Apps</a>
      </p>
    </div>
  );
}

function Head({ client }: { client: ClientView }) {
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
      {client.viewerCanResetSecret && (
        <div class="head-actions">
          <Button kind="primary" onClick={() => openDialog((close) => <ResetDialog client={client} close={close} />)}>
            Reset Secret
          </Button>
        </div>
      )}
    </div>
  );
}

function About({ client }: { client: ClientView }) {
  const edit = () => openDialog((close) => <EditDialog client={client} close={close} />);
  const toggle = () => openDialog((close) => <EnableDialog client={client} close={close} />);
  const remove = () => openDialog((close) => <DeleteDialog client={client} close={close} />);
  return (
    <Panel
      id="about"
      title="Settings"
      aside={
        <>
          {client.viewerCanEdit && (
            <>
              <Button onClick={edit}>Edit</Button>
              <Button onClick={toggle}>{client.enabled ? "Disable" : "Enable"}</Button>
              <Button kind="danger" onClick={remove}>
                Delete
              </Button>
            </>
          )}
        </>
      }
    >
      <dl class="facts wide">
        <dt>Created</dt>
        <dd>
          <At at={client.createdAt} />
        </dd>
        <dt>Features</dt>
        <dd>
          {client.features.length === 0 && <span class="muted">none</span>}
          {client.features.map((feature) => (
            <div key={feature}>
              <code>{featureName(feature)}</code> <span class="muted">{FEATURES[feature]}</span>
            </div>
          ))}
        </dd>
        <dt>Allow list</dt>
        <dd class="networks">
          {client.allowList.map((network) => (
            <code key={network}>{network}</code>
          ))}
        </dd>
        <dt>Generation</dt>
        <dd>{client.generation}</dd>
      </dl>
      <p class="panel-foot">
        <ShowQuery document={CLIENT} variables={{ clientId: client.clientId }} of="this page" />
      </p>
    </Panel>
  );
}
