/** Who changed what. Absent for viewers who may not see it. */

import { type AuditEntry, CLIENT_AUDIT, DELETED_AUDIT } from "../graphql/queries";
import { type Asked, useQuery } from "../graphql/useQuery";
import { detailsOf } from "../lib/auditWords";
import { useNow } from "../lib/clock";
import { ACTION_WORDS, SURFACE_WORDS } from "../lib/words";
import { Actor } from "../ui/actor";
import { At, Panel, Scrolled } from "../ui/basics";
import { Loading } from "../ui/bones";
import { FailureNote } from "../ui/notes";
import { type Connection, Pager, type Paging, usePaging } from "../ui/paging";

const PAGE_SIZE = 10;

interface AuditProps {
  clientId: string;
  follow: (event: { clientId: string }) => boolean;
}

export function Audit({ clientId, follow }: AuditProps) {
  const paging = usePaging();
  const variables = { clientId, first: PAGE_SIZE, after: paging.after };
  const asked = useQuery(CLIENT_AUDIT, variables, { follow, poll: false });
  return <AuditPanel asked={asked} events={asked.answer?.data.client?.auditEvents} paging={paging} />;
}

/** The audit trail of a client that no longer exists. */
export function DeletedAudit({ clientId }: { clientId: string }) {
  const paging = usePaging();
  const variables = { clientId, first: PAGE_SIZE, after: paging.after };
  const asked = useQuery(DELETED_AUDIT, variables, { follow: () => false, poll: false });
  const events = asked.answer?.data.auditEvents;
  if (events?.totalCount === 0) return null; // there was never such a client
  return <AuditPanel asked={asked} events={events} paging={paging} />;
}

interface AuditPanelProps {
  asked: Pick<Asked<unknown>, "answer" | "failure" | "reload">;
  events: Connection<AuditEntry> | null | undefined;
  paging: Paging;
}

function AuditPanel({ asked, events, paging }: AuditPanelProps) {
  const now = useNow();
  if (asked.failure?.kind === "forbidden" || asked.answer?.denied.has("auditEvents")) return null;
  return (
    <Panel id="audit" title="Audit trail">
      {asked.failure && !events && <FailureNote failure={asked.failure} retry={asked.reload} />}
      {!events && !asked.failure && <Loading what="the audit trail" />}
      {events && (
        <Scrolled label="Audit trail">
          <table class="records stacked">
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
                    {detailsOf(event, now).map((detail) => (
                      <span key={detail} class="second">
                        {detail}
                      </span>
                    ))}
                  </th>
                  <td data-label="By">
                    <Actor actor={event.actor} name={event.actorName} />
                  </td>
                  <td data-label="From">
                    {SURFACE_WORDS[event.surface]}
                    {event.address && <span class="second">{event.address}</span>}
                  </td>
                  <td data-label="Request" class={event.requestId ? "" : "nothing"}>
                    {event.requestId ? <code>{event.requestId}</code> : <span class="muted">–</span>}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scrolled>
      )}
      <div class="panel-foot">
        {events && <Pager paging={paging} size={PAGE_SIZE} connection={events} what="audit events" />}
      </div>
    </Panel>
  );
}
