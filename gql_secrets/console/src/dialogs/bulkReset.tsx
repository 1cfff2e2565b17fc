/** Reset the secrets of several clients together, smoothly; the new secrets are shown once, in this dialog. */

import { useRef, useState } from "preact/hooks";
import { RequestFailed, request } from "../graphql/client";
import { announceChange } from "../graphql/live";
import { type Problem, RESET_SECRETS } from "../graphql/mutations";
import { useAction } from "../graphql/useAction";
import { download } from "../lib/clipboard";
import { plural } from "../lib/format";
import { newIdempotencyKey } from "../lib/random";
import { parseRetention, periodInWords } from "../lib/retention";
import { Button, ShowQuery } from "../ui/basics";
import { CopyButton } from "../ui/copy";
import { Dialog, DialogFoot, useClosedBySignOut, useKeptOpen } from "../ui/dialog";
import { FailureNote, Note, ProblemNotes } from "../ui/notes";
import { Outcome } from "./outcome";
import { RetentionBox, useRetention } from "./retention";
import { useShownOnce } from "./shownOnce";

interface Row {
  readonly clientId: string;
  readonly name: string;
}

interface BulkResetProps {
  rows: readonly Row[];
  close: () => void;
  onDone: () => void;
}

interface Made extends Row {
  readonly secret: string | null;
  readonly refusal: string | null;
}

export function BulkResetDialog({ rows, close, onDone }: BulkResetProps) {
  const retention = useRetention();
  const action = useAction();
  const [problems, setProblems] = useState<readonly Problem[]>([]);
  const [unanswered, setUnanswered] = useState<number | null>(null);
  const [made, setMade] = useState<readonly Made[] | null>(null);
  useKeptOpen(action.pending || unanswered !== null || made !== null);
  useClosedBySignOut(unanswered ? null : action.failure, close);
  // One dialog is one intention: a double click or a retry resets each client once.
  const idempotencyKey = useRef(newIdempotencyKey()).current;

  const send = (hoursToLive: number) =>
    action.run(async () => {
      const targets = rows.map(({ clientId }) => ({ clientId }));
      try {
        const { data, requestId } = await request(RESET_SECRETS, { targets, hoursToLive, idempotencyKey });
        const payload = data.resetSecrets;
        if (!payload) throw new RequestFailed("failed", "The server returned no result.", requestId);
        setUnanswered(null);
        setProblems(payload.userErrors);
        const { results } = payload;
        if (!results) return;
        setMade(
          rows.map((row, index) => ({
            clientId: row.clientId,
            name: row.name,
            secret: results[index]?.newSecret ?? null,
            refusal: results[index]?.userErrors[0]?.message ?? null,
          })),
        );
        for (const { clientId } of rows) announceChange(clientId);
        onDone();
      } catch (failure) {
        if (failure instanceof RequestFailed && failure.kind === "unreachable") setUnanswered(hoursToLive);
        throw failure;
      }
    });

  if (made) return <NewSecrets made={made} close={close} />;
  const dismiss = () => action.pending || close();
  const submit = (event: Event) => {
    event.preventDefault();
    const hoursToLive = unanswered ?? retention.take();
    if (hoursToLive !== null) send(hoursToLive);
  };
  const fixed = action.pending || unanswered !== null;
  const days = parseRetention(retention.typed);
  return (
    <Dialog title={`Reset ${plural(rows.length, "secret")}`} onDismiss={dismiss}>
      <form noValidate onSubmit={submit}>
        <p class="dialog-lead">
          Each of these clients gets a new secret, which works immediately. Its old secret keeps working while you
          deploy the new one.
        </p>
        <ul class="target-list" aria-label="Clients">
          {rows.map((row) => (
            <li key={row.clientId}>{row.name}</li>
          ))}
        </ul>
        <RetentionBox input={retention} disabled={fixed} />
        {unanswered !== null && (
          <Note tone="warn" title="No response. The resets may or may not have gone through.">
            <p>Try again from this dialog: each client is reset only once, and you get the same secrets.</p>
          </Note>
        )}
        {action.failure && <FailureNote failure={action.failure} />}
        <ProblemNotes problems={problems} requestId={null} />
        <DialogFoot>
          <ShowQuery
            document={RESET_SECRETS}
            variables={{ targets: rows.map(({ clientId }) => ({ clientId })), hoursToLive: 24, idempotencyKey: "" }}
            of="this reset"
          />
          <Button onClick={dismiss} disabled={action.pending}>
            Cancel
          </Button>
          <Button kind="primary" type="submit" disabled={action.pending}>
            {action.pending
              ? "Resetting…"
              : unanswered !== null
                ? "Try again"
                : `Reset ${rows.length}, keep the old ${rows.length === 1 ? "secret" : "secrets"}${days.valid ? ` ${periodInWords(days.count, "days")}` : ""}`}
          </Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}

function NewSecrets({ made, close }: { made: readonly Made[]; close: () => void }) {
  const secrets = made.filter((each) => each.secret !== null);
  const once = useShownOnce<HTMLUListElement>(close, secrets.length > 0);
  const save = () => {
    const rows = secrets.map(({ clientId, name, secret }) => ({ clientName: name, clientId, clientSecret: secret }));
    download("new-secrets.json", `${JSON.stringify(rows, null, 2)}\n`, "application/json");
    once.take();
  };
  return (
    <Dialog title={plural(secrets.length, "new secret")} onDismiss={once.dismiss}>
      <p class="dialog-lead" role="status">
        {secrets.length > 0
          ? "Download the new secrets now: they are shown only once."
          : "No secret was reset. Nothing was changed."}
      </p>
      <ul class="target-list" aria-label="Clients" ref={once.copy}>
        {made.map((each) => (
          <li key={each.clientId}>
            <span>{each.name}</span>
            {each.secret !== null ? (
              <CopyButton text={each.secret} label="Copy secret" />
            ) : (
              <Outcome outcome={{ done: false, words: each.refusal ?? "No result" }} />
            )}
          </li>
        ))}
      </ul>
      {once.asking && (
        <div role="alert">
          <Note tone="warn" title="You have not downloaded the secrets.">
            <p>
              After you close this dialog, nobody can read them again; you would have to reset the secrets once more.
            </p>
            <div class="note-actions">
              <Button onClick={once.goBack} autoFocus>
                Go back
              </Button>
              <Button kind="danger" onClick={close}>
                Close without downloading
              </Button>
            </div>
          </Note>
        </div>
      )}
      <DialogFoot>
        {secrets.length > 0 && (
          <Button kind={once.taken ? "plain" : "primary"} icon="download" onClick={save} autoFocus>
            Download all as JSON
          </Button>
        )}
        <Button kind={once.taken ? "primary" : "plain"} onClick={once.dismiss} disabled={once.asking}>
          Done
        </Button>
      </DialogFoot>
    </Dialog>
  );
}
