/** A sign-in link to hand on, shown once. */

import { useId, useState } from "preact/hooks";
import { ChangeDialog } from "../dialogs/changeDialog";
import { useChange } from "../dialogs/useChange";
import { CREATE_SIGN_IN_LINK } from "../graphql/mutations";
import { serverNow } from "../lib/clock";
import { formatMoment } from "../lib/format";
import { ROLE_WORDS } from "../lib/words";
import { Button } from "../ui/basics";
import { CopyButton } from "../ui/copy";
import { Dialog, DialogFoot, useKeptOpen } from "../ui/dialog";
import { Field } from "../ui/fields";

const ROLES = ["VIEWER", "OPERATOR", "ADMIN"] as const;

interface Made {
  readonly url: string;
  readonly expiresAt: string;
  readonly name: string;
}

export function LinkDialog({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<(typeof ROLES)[number]>("VIEWER");
  const [nameError, setNameError] = useState<string | null>(null);
  const [made, setMade] = useState<Made | null>(null);
  const id = useId();
  const variables = { role, name: name.trim() };
  const change = useChange(CREATE_SIGN_IN_LINK, ({ url, expiresAt }) => {
    if (url && expiresAt) setMade({ url, expiresAt, name: variables.name });
  });
  if (made) return <MadeLink made={made} close={close} />;
  return (
    <ChangeDialog
      title="Create sign-in link"
      act="Create link"
      change={change}
      fields={["name"]}
      onAct={() => {
        if (variables.name) change.send(variables);
        else setNameError("Enter a name.");
      }}
      close={close}
      dirty={name !== ""}
      show={{ document: CREATE_SIGN_IN_LINK, variables }}
    >
      <p class="dialog-lead">The link signs one person in, once, within 15 minutes. Send it only to that person.</p>
      <Field
        label="Name"
        value={name}
        onInput={(value) => {
          setNameError(null);
          setName(value);
        }}
        error={nameError ?? change.problems.find((problem) => problem.field?.[0] === "name")?.message ?? null}
        hint="The person’s name, as the audit trail shows it."
        disabled={change.pending}
        autoFocus
      />
      <div class="field short">
        <label for={id}>Role</label>
        <select
          id={id}
          value={role}
          disabled={change.pending}
          onChange={(event) => setRole(ROLES.find((each) => each === event.currentTarget.value) ?? "VIEWER")}
        >
          {ROLES.map((each) => (
            <option key={each} value={each}>
              {ROLE_WORDS[each]}
            </option>
          ))}
        </select>
      </div>
    </ChangeDialog>
  );
}

function MadeLink({ made, close }: { made: Made; close: () => void }) {
  useKeptOpen(true);
  return (
    <Dialog title={`Sign-in link for ${made.name}`} onDismiss={close}>
      <p class="dialog-lead" role="status">
        Copy the link now: it is shown only once. It works once, until {formatMoment(made.expiresAt, serverNow())}. Do
        not open it yourself.
      </p>
      <div class="command">
        <code data-testid="sign-in-link">{made.url}</code>
        <CopyButton text={made.url} label="Copy link" kind="primary" autoFocus />
      </div>
      <DialogFoot>
        <Button onClick={close}>Done</Button>
      </DialogFoot>
    </Dialog>
  );
}
