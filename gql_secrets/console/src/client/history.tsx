/** Every secret that this client has had. */

import { CLIENT_HISTORY } from "../graphql/queries";
import { useQuery } from "../graphql/useQuery";
import { formatNumber, plural } from "../lib/format";
import { END_WORDS, STATE_WORDS } from "../lib/words";
import { Actor } from "../ui/actor";
import { At, Chip, Hint, Panel, Scrolled, When } from "../ui/basics";
import { Loading } from "../ui/bones";
import { FailureNote } from "../ui/notes";
import { Pager, usePaging } from "../ui/paging";

const PAGE_SIZE = 10;

interface HistoryProps {
  clientId: string;
  follow: (event: { clientId: string }) => boolean;
}

export function History({ clientId, follow }: HistoryProps) {
  const paging = usePaging();
  const variables = { clientId, first: PAGE_SIZE, after: paging.after };
  const asked = useQuery(CLIENT_HISTORY, variables, { follow });
  const secrets = asked.answer?.data.client?.secrets;
  return (
    <Panel id="history" title="History of secrets">
      {asked.failure && !secrets && <FailureNote failure={asked.failure} retry={asked.reload} />}
      {!secrets && !asked.failure && <Loading what="the history" />}
      {secrets && (
        <Scrolled label="History of secrets">
          <table class="records stacked">
            <thead>
              <tr>
                <th scope="col">Secret</th>
                <th scope="col">State</th>
                <th scope="col">Created</th>
                <th scope="col">Ended</th>
                <th scope="col">Last used</th>
                <th scope="col" class="number">
                  Uses
                </th>
              </tr>
            </thead>
            <tbody>
              {secrets.nodes.map((secret) => (
                <tr key={secret.id}>
                  <th scope="row">
                    <Hint hint={secret.hint} />
                  </th>
                  <td>
                    <Chip tone={STATE_WORDS[secret.state].tone} icon={STATE_WORDS[secret.state].icon}>
                      {STATE_WORDS[secret.state].short}
                    </Chip>
                  </td>
                  <td data-label="Created">
                    <At at={secret.createdAt} />
                    <span class="second">
                      by <Actor actor={secret.createdBy} name={secret.createdByName} />
                    </span>
                  </td>
                  <td data-label="Ended" class={secret.endedAt ? "" : "nothing"}>
                    {secret.endedAt ? (
                      <>
                        <At at={secret.endedAt} />
                        {secret.endReason && <span class="second">{END_WORDS[secret.endReason]}</span>}
                      </>
                    ) : (
                      <span class="muted">–</span>
                    )}
                  </td>
                  <td data-label="Last used">
                    <When at={secret.lastUsedAt} />
                    {secret.refusedAttempts > 0 && (
                      <span class="second attention">
                        {plural(secret.refusedAttempts, "refused attempt")}, last <When at={secret.lastRefusedAt} />
                      </span>
                    )}
                  </td>
                  <td data-label="Uses" class="number">
                    {formatNumber(secret.useCount)}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scrolled>
      )}
      <div class="panel-foot">
        {secrets && <Pager paging={paging} size={PAGE_SIZE} connection={secrets} what="secrets" />}
      </div>
    </Panel>
  );
}
