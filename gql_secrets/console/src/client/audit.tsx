/** Who changed what. Absent for viewers whom the server does not let see it. */

import { type AuditEntry, CLIENT_AUDIT } from "../graphql/queries";
import { useQuery } from "../graphql/useQuery";
import { formatDateTime, withLocalInstants } from "../lib/format";
import { ACTION_WORDS, SURFACE_WORDS, actorName } from "../lib/words";
import { At, Loading, Panel, Scrolled, ShowQuery } from "../ui/basics";
import { FailureNote } from "../ui/notes";
import { Pager, usePaging } from "../ui/paging";

const PAGE_SIZE = 10;

interface AuditProps {
  clientId: string;
  follow: (event: { clientId: string }) => boolean;
}

export function Audit({ clientId, follow }: AuditProps) {
  const paging = usePaging();
  const variables = { clientId, first: PAGE_SIZE, after: paging.after };
  const asked = useQuery(CLIENT_AUDIT, variables, { follow, poll: false });
  const events = asked.answer?.data.client?.auditEvents;
  if (asked.failure?.kind === "forbidden" || asked.answer?.denied.has("auditEvents")) return null;
  return (
    <Panel id="audit" title="Audit trail">
      {asked.failure && !events && <FailureNote failure={asked.failure} retry={asked.reload} />}
      {!events && !asked.failure && <Loading what="the audit trail" />}
      {events && (
        <Scrolled label="Audit trail">
          <table class="records">
            <thead>
              <tr>
                <th scope="col">When</th>
                <th scope="col">What</th>
                <th scope="col">Who</th>
                <th scope="col">From</th>
                <th scope="col">Request</th>
              </tr>
            </thead>
            <tbody>
              {events.nodes.map((event) => (
                <tr key={event.id}>
                  <td class="nowrap">
                    <At at={event.at} />
                  </td>
                  <th scope="row">
                    {ACTION_WORDS[event.action]}
                    {detailsOf(event) && <span class="second">{detailsOf(event)}</span>}
                  </th>
                  <td>{actorName(event.actor)}</td>
                  <td>
                    {SURFACE_WORDS[event.surface]}
                    {event.address && <span class="second">{event.address}</span>}
                  </td>
                  <td>{event.requestId ? <code>{event.requestId}</code> : <span class="muted">–</span>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scrolled>
      )}
      <div class="panel-foot">
        <ShowQuery document={CLIENT_AUDIT} variables={variables} of="the audit trail" />
        {events && (
          <Pager
            paging={paging}
            size={PAGE_SIZE}
            shown={events.nodes.length}
            total={events.totalCount}
            pageInfo={events.pageInfo}
            what="audit events"
          />
        )}
      </div>
    </Panel>
  );
}

function detailsOf({ action, hoursToLive, expiresAt, reason }: AuditEntry): string {
  const kept = action === "SECRET_RESET" && hoursToLive === 0 ? "the old secret ended at once" : null;
  const until = expiresAt ? `old secret good until ${formatDateTime(expiresAt)}` : null;
  return [kept ?? until, reason && withLocalInstants(reason)].filter(Boolean).join("; ");
}
