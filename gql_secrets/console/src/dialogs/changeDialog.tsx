/** What all dialogs for a single change have in common. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { RequestFailed } from "../graphql/client";
import type { Problem } from "../graphql/mutations";
import { Button, ShowQuery } from "../ui/basics";
import { Dialog, DialogFoot, useClosedBySignOut, useKeptOpen } from "../ui/dialog";
import { FailureNote, Note, ProblemNotes } from "../ui/notes";
import { type Changing, changeOf } from "./conflict";

interface ChangeDialogProps {
  title: string;
  act: string;
  onAct: () => void;
  close: () => void;
  children: ComponentChildren;
  change: {
    readonly pending: boolean;
    readonly failure: RequestFailed | null;
    readonly problems: readonly Problem[];
    readonly requestId: string | null;
    readonly asItIs: Changing | null;
  };
  /** The client as the dialog shows it. */
  before?: Changing;
  show: { readonly document: object; readonly variables: Readonly<Record<string, unknown>> };
  danger?: boolean;
  disabled?: boolean;
  /** The label of the button that cancels. */
  leave?: string;
  /** Fields of the form that show their own problems. */
  fields?: readonly string[];
  /** Something was typed that Escape would discard. */
  dirty?: boolean;
}

export function ChangeDialog(props: ChangeDialogProps) {
  const { change, close, leave = "Cancel" } = props;
  const [discarding, setDiscarding] = useState(false);
  useKeptOpen(change.pending);
  useClosedBySignOut(change.failure, close);
  const dismiss = () => {
    if (change.pending) return;
    if (props.dirty) setDiscarding(!discarding);
    else close();
  };
  // What the dialog shows is outdated: sending it again would be refused again.
  const conflict = change.problems.some((problem) => problem.code === "CONFLICT");
  const news = conflict && props.before && change.asItIs && changeOf(props.before, change.asItIs);
  const elsewhere = change.problems.filter(
    ({ code, field }) => !props.fields?.includes(field?.[0] ?? "") && !(news && code === "CONFLICT"),
  );
  return (
    <Dialog title={props.title} onDismiss={dismiss}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (!conflict) props.onAct();
        }}
      >
        {props.children}
        {change.failure && <FailureNote failure={change.failure} />}
        {news && (
          <div role="alert">
            <Note tone="warn" title={news}>
              <p>Nothing was changed. Close this dialog to see the current state, and decide again.</p>
            </Note>
          </div>
        )}
        <ProblemNotes problems={elsewhere} requestId={change.requestId} />
        {discarding && (
          <div role="alert">
            <Note tone="warn" title="Discard what you typed?">
              <div class="note-actions">
                <Button onClick={() => setDiscarding(false)} autoFocus>
                  Keep editing
                </Button>
                <Button kind="danger" onClick={close}>
                  Discard
                </Button>
              </div>
            </Note>
          </div>
        )}
        <DialogFoot>
          <ShowQuery {...props.show} />
          <Button onClick={close} disabled={change.pending} autoFocus>
            {conflict ? "Close" : leave}
          </Button>
          {!conflict && (
            <Button
              kind={props.danger ? "danger" : "primary"}
              type="submit"
              disabled={change.pending || (props.disabled ?? false)}
            >
              {change.pending ? "Saving…" : props.act}
            </Button>
          )}
        </DialogFoot>
      </form>
    </Dialog>
  );
}
