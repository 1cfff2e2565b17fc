/** The Reset Secret dialog: decide, perhaps be asked, and see the new secret once. */

import { useRef, useState } from "preact/hooks";
import { RequestFailed, request } from "../graphql/client";
import { announceChange } from "../graphql/live";
import { type Problem, RESET_SECRET, type ResetResult } from "../graphql/mutations";
import type { ClientView } from "../graphql/queries";
import { useAction } from "../graphql/useAction";
import { generationSeen, rememberGeneration } from "../lib/generations";
import { newIdempotencyKey } from "../lib/random";
import { ADMINISTERS } from "../lib/words";
import { Button, ShowQuery } from "../ui/basics";
import { Dialog, DialogFoot } from "../ui/dialog";
import { Switch } from "../ui/fields";
import { FailureNote, Note, ProblemNotes } from "../ui/notes";
import { InProgress } from "./inProgress";
import { NewSecret } from "./newSecret";
import { AtOnce, OwnerWarning } from "./resetWarnings";
import { RetentionBox, useRetention } from "./retention";

const TITLE = "Reset Secret";

interface ResetProps {
  client: ClientView;
  close: () => void;
}

/** What one asks for: kept as it was sent, so that a retry asks for the very same thing. */
interface Wish {
  readonly hoursToLive: number;
  readonly endActiveRollover: boolean;
  readonly ifGeneration: number;
}

interface Refusal {
  readonly problems: readonly Problem[];
  readonly requestId: string | null;
}

export function ResetDialog({ client, close }: ResetProps) {
  const [smooth, setSmooth] = useState(false);
  const [understood, setUnderstood] = useState(false);
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const [unanswered, setUnanswered] = useState<Wish | null>(null);
  const [question, setQuestion] = useState<Wish | null>(null);
  const [result, setResult] = useState<ResetResult | null>(null);
  const retention = useRetention();
  const action = useAction();
  // One dialog is one intention: whatever is clicked twice or sent again, it is one reset.
  const idempotencyKey = useRef(newIdempotencyKey()).current;

  const send = (wish: Wish) =>
    action.run(async () => {
      setRefusal(null);
      try {
        const variables = { clientId: client.clientId, idempotencyKey, ...wish };
        const { data, requestId } = await request(RESET_SECRET, variables);
        setUnanswered(null);
        take(wish, data.resetSecret, requestId);
      } catch (failure) {
        // No answer: the reset may have happened. From now on only the very same wish may be sent.
        if (failure instanceof RequestFailed && failure.kind === "unreachable") setUnanswered(wish);
        throw failure;
      }
    });

  const take = (wish: Wish, answer: ResetResult | null, requestId: string | null) => {
    if (!answer) throw new RequestFailed("failed", "The server gave no result.", requestId);
    if (answer.newSecret) {
      setResult(answer);
      if (answer.client) rememberGeneration(answer.client);
      announceChange(client.clientId);
      return;
    }
    if (answer.userErrors.some((problem) => problem.code === "ROLLOVER_IN_PROGRESS")) return setQuestion(wish);
    setQuestion(null);
    const hours = answer.userErrors.find((problem) => problem.code === "INVALID_HOURS_TO_LIVE");
    if (hours && smooth) retention.refuse(hours.message);
    else setRefusal({ problems: answer.userErrors, requestId });
  };

  const submit = (event: Event) => {
    event.preventDefault();
    if (unanswered) return send(unanswered);
    const hoursToLive = smooth ? retention.take() : 0;
    if (hoursToLive === null) return;
    send({ hoursToLive, endActiveRollover: false, ifGeneration: generationSeen(client) });
  };

  if (result?.newSecret) {
    const names = { clientId: client.clientId, clientName: client.name };
    return <NewSecret {...names} secret={result.newSecret} result={result} close={close} title={TITLE} />;
  }
  const dismiss = () => action.pending || close();
  if (question && !unanswered) {
    return (
      <Dialog title={TITLE} onDismiss={dismiss}>
        <InProgress
          clientId={client.clientId}
          pending={action.pending}
          failure={action.failure}
          onBack={() => setQuestion(null)}
          onGoOn={(ifGeneration) => send({ ...question, endActiveRollover: true, ifGeneration })}
        />
      </Dialog>
    );
  }

  const owner = client.features.includes(ADMINISTERS);
  const fixed = action.pending || unanswered !== null;
  return (
    <Dialog title={TITLE} onDismiss={dismiss}>
      <form onSubmit={submit} noValidate>
        <p class="dialog-lead">
          <strong>{client.name}</strong> gets a new secret. It is good at once and shown one time.
        </p>
        {client.viewerCanSmoothReset && (
          <Switch
            label="Smooth Rollover"
            hint="Keep the old secret good for some days, so that nothing breaks while the new one spreads."
            checked={smooth}
            onChange={setSmooth}
            disabled={fixed}
            autoFocus
          />
        )}
        {smooth ? <RetentionBox input={retention} disabled={fixed} /> : <AtOnce client={client} />}
        {owner && <OwnerWarning understood={understood} onChange={setUnderstood} disabled={fixed} />}
        {unanswered && (
          <Note tone="warn" title="No answer came: the reset may have happened, or not.">
            <p>Try again from this dialog. If it did happen, you get the same secret, and no second reset is made.</p>
          </Note>
        )}
        {action.failure && <FailureNote failure={action.failure} />}
        {refusal && <ProblemNotes {...refusal} />}
        <DialogFoot>
          <ShowQuery
            document={RESET_SECRET}
            variables={{ clientId: client.clientId, hoursToLive: smooth ? hoursOrDay(retention.typed) : 0 }}
            of="this reset"
          />
          <Button onClick={dismiss} disabled={action.pending} autoFocus>
            Cancel
          </Button>
          <Button kind={smooth ? "primary" : "danger"} type="submit" disabled={action.pending || (owner && !understood)}>
            {action.pending ? "Resetting…" : unanswered ? "Try again" : "Reset Secret"}
          </Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}

/** For showing the operation: what is typed, or a day while nothing good is typed. */
function hoursOrDay(typed: string): number {
  const days = Number(typed);
  return Number.isInteger(days) && days >= 1 && days <= 7 ? days * 24 : 24;
}
