/** Revoke the old secrets of several clients together; each has its own result. */

import { useState } from "preact/hooks";
import { RequestFailed, request } from "../graphql/client";
import { announceChange } from "../graphql/live";
import { type Problem, REVOKE_OLD_SECRETS } from "../graphql/mutations";
import { useAction } from "../graphql/useAction";
import { plural } from "../lib/format";
import { clientAddress } from "../lib/router";
import { Button, Hint, ShowQuery } from "../ui/basics";
import { Dialog, DialogFoot, useClosedBySignOut, useKeptOpen } from "../ui/dialog";
import { FailureNote, Note, ProblemNotes } from "../ui/notes";
import { Outcome, type OutcomeWords } from "./outcome";

export interface RevokeTarget {
  readonly clientId: string;
  readonly name: string;
  readonly secretId: string;
  readonly hint: string;
  /** How many of its sources have not been seen with the new secret. */
  readonly unmoved: number;
}

interface BulkRevokeProps {
  targets: readonly RevokeTarget[];
  close: () => void;
  onDone: () => void;
}

export function BulkRevokeDialog({ targets, close, onDone }: BulkRevokeProps) {
  const action = useAction();
  const [outcomes, setOutcomes] = useState<ReadonlyMap<string, OutcomeWords>>(new Map());
  const [problems, setProblems] = useState<readonly Problem[]>([]);
  useKeptOpen(action.pending);
  useClosedBySignOut(action.failure, close);
  const done = outcomes.size > 0;
  const unmoved = targets.filter((target) => target.unmoved > 0);
  const variables = { targets: targets.map(({ clientId, secretId }) => ({ clientId, secretId })) };

  const send = () =>
    action.run(async () => {
      const { data, requestId } = await request(REVOKE_OLD_SECRETS, variables);
      const payload = data.revokeOldSecrets;
      if (!payload) throw new RequestFailed("failed", "The server returned no result.", requestId);
      setProblems(payload.userErrors);
      setOutcomes(
        new Map(
          (payload.results ?? []).map((result) => [
            result.clientId,
            result.userErrors[0]
              ? { done: false, words: result.userErrors[0].message }
              : { done: true, words: result.alreadyEnded ? "Had already ended" : "Revoked" },
          ]),
        ),
      );
      for (const { clientId } of targets) announceChange(clientId);
      onDone();
    });

  const revoked = [...outcomes.values()].filter((outcome) => outcome.done).length;
  return (
    <Dialog title={`Revoke ${plural(targets.length, "old secret")}`} onDismiss={() => action.pending || close()}>
      {done ? (
        <p class="dialog-lead" role="status">
          {revoked === targets.length
            ? targets.length === 1
              ? "The old secret has ended."
              : "All of them have ended."
            : revoked === 0
              ? "No old secret was revoked."
              : `${plural(revoked, "old secret")} ended; ${plural(targets.length - revoked, "was", "were")} not revoked.`}
        </p>
      ) : (
        <p class="dialog-lead">
          {targets.length === 1
            ? "The old secret stops working immediately. The current secret is not affected. It is checked again first: if it is in use by then, it is not revoked."
            : "These old secrets stop working immediately. The current secrets are not affected. Each one is checked again first: one that is in use by then is not revoked."}{" "}
          This cannot be undone.
        </p>
      )}
      {!done && unmoved.length > 0 && (
        <Note tone="warn" title={`${plural(unmoved.length, "client has", "clients have")} sources that have not moved`}>
          <p>
            They used the old secret, are silent now, and were not seen with the new one. Revoking locks out each one
            that comes back.
          </p>
        </Note>
      )}
      <ul class="target-list" aria-label="Clients">
        {targets.map((target) => (
          <li key={target.clientId}>
            <a href={clientAddress(target.clientId)}>{target.name}</a> <Hint hint={target.hint} />
            {outcomes.has(target.clientId) ? (
              <Outcome outcome={outcomes.get(target.clientId)} />
            ) : (
              target.unmoved > 0 && <span class="muted">{plural(target.unmoved, "source")} not moved</span>
            )}
          </li>
        ))}
      </ul>
      {action.failure && <FailureNote failure={action.failure} />}
      <ProblemNotes problems={problems} requestId={null} />
      <DialogFoot>
        <ShowQuery document={REVOKE_OLD_SECRETS} variables={variables} of="this change" />
        <Button onClick={close} disabled={action.pending} autoFocus>
          {done ? "Done" : "Cancel"}
        </Button>
        {!done && (
          <Button kind="danger" onClick={send} disabled={action.pending}>
            {action.pending ? "Revoking…" : `Revoke ${plural(targets.length, "old secret")}`}
          </Button>
        )}
      </DialogFoot>
    </Dialog>
  );
}
