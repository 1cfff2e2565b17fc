/** The Reset Secret dialog: choose what happens to the old secret, confirm, and see the new secret once. */

import { useRef, useState } from "preact/hooks";
import { RequestFailed, request } from "../graphql/client";
import { announceChange } from "../graphql/live";
import { type Problem, RESET_SECRET, type ResetResult } from "../graphql/mutations";
import type { ClientView } from "../graphql/queries";
import { useAction } from "../graphql/useAction";
import { generationSeen, rememberGeneration } from "../lib/generations";
import { newIdempotencyKey } from "../lib/random";
import { parseRetention, periodInWords } from "../lib/retention";
import { ADMINISTERS } from "../lib/words";
import type { Source } from "../rollover/sources";
import { Button, ShowQuery } from "../ui/basics";
import { Dialog, DialogFoot, useClosedBySignOut, useKeptOpen } from "../ui/dialog";
import { Switch } from "../ui/fields";
import { FailureNote, Note, ProblemNotes } from "../ui/notes";
import { changeOf } from "./conflict";
import { ConfirmHardReset, HardResetNote } from "./hardReset";
import { InProgress } from "./inProgress";
import { NewSecret } from "./newSecret";
import { ReasonField, reasonOf } from "./reason";
import { OwnerWarning, WithdrawalWarning } from "./resetWarnings";
import { RetentionBox, useRetention } from "./retention";

const TITLE = "Reset Secret";

interface ResetProps {
  client: ClientView;
  sources: readonly Source[] | null;
  close: () => void;
}

/** What was asked for: kept as it was sent, so that a retry asks for the same thing. */
interface Wish {
  readonly hoursToLive: number;
  readonly endActiveRollover: boolean;
  readonly ifGeneration: number;
  readonly reason: string | null;
}

interface Refusal {
  readonly problems: readonly Problem[];
  readonly requestId: string | null;
}

export function ResetDialog({ client: opened, sources, close }: ResetProps) {
  const [client, setClient] = useState(opened);
  const [news, setNews] = useState<string | null>(null);
  const [reason, setReason] = useState("");
  const [confirming, setConfirming] = useState(false);
  const [smooth, setSmooth] = useState(false);
  const [understood, setUnderstood] = useState(false);
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const [unanswered, setUnanswered] = useState<Wish | null>(null);
  const [question, setQuestion] = useState<Wish | null>(null);
  const [result, setResult] = useState<ResetResult | null>(null);
  const retention = useRetention();
  const action = useAction();
  // A reset that may have happened must stay repeatable, and its secret readable.
  useKeptOpen(action.pending || unanswered !== null || result !== null);
  useClosedBySignOut(unanswered ? null : action.failure, close);
  // One dialog is one intention: a double click or a retry is still one reset.
  const idempotencyKey = useRef(newIdempotencyKey()).current;

  const send = (wish: Wish) =>
    action.run(async () => {
      setRefusal(null);
      setNews(null);
      try {
        const variables = { clientId: client.clientId, idempotencyKey, ...wish };
        const { data, requestId } = await request(RESET_SECRET, variables);
        setUnanswered(null);
        take(wish, data.resetSecret, requestId);
      } catch (failure) {
        // No answer: the reset may have happened. From now on only the same request may be sent.
        if (failure instanceof RequestFailed && failure.kind === "unreachable") setUnanswered(wish);
        throw failure;
      }
    });

  const take = (wish: Wish, answer: ResetResult | null, requestId: string | null) => {
    if (!answer) throw new RequestFailed("failed", "The server returned no result.", requestId);
    if (answer.newSecret) {
      setResult(answer);
      if (answer.client) rememberGeneration(answer.client);
      announceChange(client.clientId);
      return;
    }
    if (answer.userErrors.some((problem) => problem.code === "ROLLOVER_IN_PROGRESS")) {
      if (answer.client) setClient(answer.client);
      return setQuestion(wish);
    }
    setQuestion(null);
    const hours = answer.userErrors.find((problem) => problem.code === "INVALID_HOURS_TO_LIVE");
    if (hours && smooth) retention.refuse(hours.message);
    else if (answer.userErrors.some((problem) => problem.code === "CONFLICT")) {
      // Somebody was faster: say who did what, and go on from there.
      setNews(changeOf(client, answer.client));
      if (answer.client) setClient(answer.client);
    } else setRefusal({ problems: answer.userErrors, requestId });
  };

  const wishFor = (hoursToLive: number): Wish => ({
    hoursToLive,
    endActiveRollover: false,
    ifGeneration: generationSeen(client),
    reason: reasonOf(reason),
  });
  const submit = (event: Event) => {
    event.preventDefault();
    if (unanswered) return send(unanswered);
    const hoursToLive = smooth ? retention.take() : 0;
    if (hoursToLive === null) return;
    if (hoursToLive === 0) return setConfirming(true);
    send(wishFor(hoursToLive));
  };
  const resetNow = () => {
    setConfirming(false);
    send(wishFor(0));
  };

  if (result?.newSecret) {
    const names = { clientId: client.clientId, clientName: client.name };
    return <NewSecret {...names} secret={result.newSecret} result={result} close={close} />;
  }
  const dismiss = () => action.pending || close();
  if (question && !unanswered) {
    return (
      <Dialog key="question" title={TITLE} onDismiss={dismiss}>
        <InProgress
          client={client}
          pending={action.pending}
          failure={action.failure}
          onBack={() => setQuestion(null)}
          onGoOn={() => send({ ...question, endActiveRollover: true, ifGeneration: client.generation })}
        />
      </Dialog>
    );
  }

  if (confirming) {
    return (
      <ConfirmHardReset
        key="confirm"
        client={client}
        sources={sources}
        onBack={() => setConfirming(false)}
        onConfirm={resetNow}
      />
    );
  }

  const owner = client.features.includes(ADMINISTERS);
  const fixed = action.pending || unanswered !== null;
  const days = parseRetention(retention.typed);
  const keep = days.valid
    ? `Reset, keep the old secret ${periodInWords(days.count, "days")}`
    : "Reset, keep the old secret";
  const act = smooth ? keep : "Reset and end the old secret now";
  return (
    <Dialog key="choice" title={TITLE} onDismiss={dismiss}>
      <form noValidate onSubmit={submit}>
        <p class="dialog-lead">
          <strong>{client.name}</strong> will get a new secret. It works immediately and is shown only once.
        </p>
        {client.viewerCanSmoothReset && (
          <Switch
            label="Smooth Rollover"
            hint="Keep the old secret working for a few days while you deploy the new one."
            checked={smooth}
            onChange={setSmooth}
            disabled={fixed}
            autoFocus
          />
        )}
        {smooth ? (
          <RetentionBox input={retention} disabled={fixed} />
        ) : (
          <HardResetNote client={client} sources={sources} />
        )}
        {smooth && <WithdrawalWarning client={client} />}
        <ReasonField value={reason} onInput={setReason} disabled={fixed} problems={refusal?.problems ?? []} />
        {owner && <OwnerWarning understood={understood} onChange={setUnderstood} disabled={fixed} />}
        {unanswered && (
          <Note tone="warn" title="No response. The reset may or may not have gone through.">
            <p>Try again from this dialog. If it went through, you get the same secret and no second reset is made.</p>
          </Note>
        )}
        {news && (
          <div role="alert">
            <Note tone="warn" title={news}>
              <p>This dialog now shows the current state. Nothing was reset; decide again.</p>
            </Note>
          </div>
        )}
        {action.failure && <FailureNote failure={action.failure} />}
        {refusal && (
          <ProblemNotes
            problems={refusal.problems.filter((problem) => problem.field?.[0] !== "reason")}
            requestId={refusal.requestId}
          />
        )}
        <DialogFoot>
          <ShowQuery
            document={RESET_SECRET}
            variables={{
              clientId: client.clientId,
              hoursToLive: smooth ? (days.valid ? days.hoursToLive : 24) : 0,
            }}
            of="this reset"
          />
          <Button onClick={dismiss} disabled={action.pending} autoFocus>
            Cancel
          </Button>
          <Button
            kind={smooth ? "primary" : "danger"}
            type="submit"
            disabled={action.pending || (owner && !understood)}
          >
            {action.pending ? "Resetting…" : unanswered ? "Try again" : act}
          </Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}
