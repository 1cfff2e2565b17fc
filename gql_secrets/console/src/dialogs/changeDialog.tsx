/** The shape of every dialog that asks for one change. */

import type { ComponentChildren } from "preact";
import type { RequestFailed } from "../graphql/client";
import type { Problem } from "../graphql/mutations";
import { Button, ShowQuery } from "../ui/basics";
import { Dialog, DialogFoot } from "../ui/dialog";
import { FailureNote, ProblemNotes } from "../ui/notes";

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
  };
  show: { readonly document: object; readonly variables: Readonly<Record<string, unknown>> };
  danger?: boolean;
  disabled?: boolean;
  /** Fields of the form that show their own problems. */
  fields?: readonly string[];
}

export function ChangeDialog(props: ChangeDialogProps) {
  const { change, close } = props;
  const dismiss = () => change.pending || close();
  const elsewhere = change.problems.filter((problem) => !props.fields?.includes(problem.field?.[0] ?? ""));
  return (
    <Dialog title={props.title} onDismiss={dismiss}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          props.onAct();
        }}
      >
        {props.children}
        {change.failure && <FailureNote failure={change.failure} />}
        <ProblemNotes problems={elsewhere} requestId={change.requestId} />
        <DialogFoot>
          <ShowQuery {...props.show} />
          <Button onClick={dismiss} disabled={change.pending} autoFocus>
            Cancel
          </Button>
          <Button
            kind={props.danger ? "danger" : "primary"}
            type="submit"
            disabled={change.pending || (props.disabled ?? false)}
          >
            {change.pending ? "One moment…" : props.act}
          </Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}
