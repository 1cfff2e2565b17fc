/** The Reset Secret dialog: choose what happens to the old secret, confirm, and see the new secret once. */

import { useState } from "preact/hooks";
import { RESET_SECRET } from "../graphql/mutations";
import type { ClientView } from "../graphql/queries";
import { generationSeen } from "../lib/generations";
import { parseRetention, periodInWords } from "../lib/retention";
import { ADMINISTERS } from "../lib/words";
import type { Source } from "../rollover/sources";
import { Button, ShowQuery } from "../ui/basics";
import { Dialog, DialogFoot, useClosedBySignOut, useKeptOpen } from "../ui/dialog";
import { Switch } from "../ui/fields";
import { FailureNote, Note, ProblemNotes } from "../ui/notes";
import { ConfirmHardReset, HardResetNote } from "./hardReset";
import { InProgress } from "./inProgress";
import { NewSecret } from "./newSecret";
import { ReasonField, reasonOf } from "./reason";
import { OwnerWarning, WithdrawalWarning } from "./resetWarnings";
import { RetentionBox, type RetentionInput, useRetention } from "./retention";
import { type Reset, useReset, type Wish } from "./useReset";

const TITLE = "Reset Secret";

interface ResetProps {
  client: ClientView;
  sources: readonly Source[] | null;
  close: () => void;
}

export function ResetDialog({ client: opened, sources, close }: ResetProps) {
  const choice = useChoice();
  const [confirming, setConfirming] = useState(false);
  const reset = useReset(opened, choice.retention.refuse);
  const { client, send, pending, failure, result, question, unanswered } = reset;
  // A reset that may have happened must stay repeatable, and its secret readable.
  useKeptOpen(pending || unanswered !== null || result !== null);
  useClosedBySignOut(unanswered ? null : failure, close);

  const wishFor = (hoursToLive: number): Wish => ({
    hoursToLive,
    endActiveRollover: false,
    ifGeneration: generationSeen(client),
    reason: reasonOf(choice.reason),
  });
  const submit = (event: Event) => {
    event.preventDefault();
    if (unanswered) return send(unanswered);
    const hoursToLive = choice.smooth ? choice.retention.take() : 0;
    if (hoursToLive === null) return;
    if (hoursToLive === 0) return setConfirming(true);
    send(wishFor(hoursToLive));
  };
  const resetNow = () => {
    setConfirming(false);
    send(wishFor(0));
  };
  const dismiss = () => pending || close();

  if (result?.newSecret) {
    const names = { clientId: client.clientId, clientName: client.name };
    return <NewSecret {...names} secret={result.newSecret} result={result} close={close} />;
  }
  if (question && !unanswered) {
    return (
      <Dialog key="question" title={TITLE} onDismiss={dismiss}>
        <InProgress
          client={client}
          pending={pending}
          failure={failure}
          onBack={reset.withdrawQuestion}
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
  return (
    <Dialog key="choice" title={TITLE} onDismiss={dismiss}>
      <ChoiceForm choice={choice} reset={reset} sources={sources} onSubmit={submit} onCancel={dismiss} />
    </Dialog>
  );
}

/** What is entered, kept while another question is shown. */
interface Choice {
  readonly smooth: boolean;
  readonly setSmooth: (smooth: boolean) => void;
  readonly retention: RetentionInput;
  readonly reason: string;
  readonly setReason: (reason: string) => void;
  readonly understood: boolean;
  readonly setUnderstood: (understood: boolean) => void;
}

function useChoice(): Choice {
  const [smooth, setSmooth] = useState(false);
  const [reason, setReason] = useState("");
  const [understood, setUnderstood] = useState(false);
  const retention = useRetention();
  return { smooth, setSmooth, retention, reason, setReason, understood, setUnderstood };
}

interface ChoiceFormProps {
  choice: Choice;
  reset: Reset;
  sources: readonly Source[] | null;
  onSubmit: (event: Event) => void;
  onCancel: () => void;
}

function ChoiceForm({ choice, reset, sources, onSubmit, onCancel }: ChoiceFormProps) {
  const { smooth, retention, understood } = choice;
  const { client, pending, unanswered } = reset;
  const owner = client.features.includes(ADMINISTERS);
  const fixed = pending || unanswered !== null;
  const days = parseRetention(retention.typed);
  const keep = days.valid
    ? `Reset, keep the old secret ${periodInWords(days.count, "days")}`
    : "Reset, keep the old secret";
  const act = smooth ? keep : "Reset and end the old secret now";
  return (
    <form noValidate onSubmit={onSubmit}>
      <p class="dialog-lead">
        <strong>{client.name}</strong> will get a new secret. It works immediately and is shown only once.
      </p>
      {client.viewerCanSmoothReset && (
        <Switch
          label="Smooth Rollover"
          hint="Keep the old secret working for a few days while you deploy the new one."
          checked={smooth}
          onChange={choice.setSmooth}
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
      <ReasonField
        value={choice.reason}
        onInput={choice.setReason}
        disabled={fixed}
        problems={reset.refusal?.problems ?? []}
      />
      {owner && <OwnerWarning understood={understood} onChange={choice.setUnderstood} disabled={fixed} />}
      <Notes reset={reset} />
      <DialogFoot>
        <ShowQuery
          document={RESET_SECRET}
          variables={{
            clientId: client.clientId,
            hoursToLive: smooth ? (days.valid ? days.hoursToLive : 24) : 0,
          }}
          of="this reset"
        />
        <Button onClick={onCancel} disabled={pending} autoFocus>
          Cancel
        </Button>
        <Button kind={smooth ? "primary" : "danger"} type="submit" disabled={pending || (owner && !understood)}>
          {pending ? "Resetting…" : unanswered ? "Try again" : act}
        </Button>
      </DialogFoot>
    </form>
  );
}

function Notes({ reset: { unanswered, news, failure, refusal } }: { reset: Reset }) {
  return (
    <>
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
      {failure && <FailureNote failure={failure} />}
      {refusal && (
        <ProblemNotes
          problems={refusal.problems.filter((problem) => problem.field?.[0] !== "reason")}
          requestId={refusal.requestId}
        />
      )}
    </>
  );
}
