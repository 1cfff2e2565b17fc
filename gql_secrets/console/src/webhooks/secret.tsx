/** A signing secret, shown once. */

import { useState } from "preact/hooks";
import { Button } from "../ui/basics";
import { CopyButton } from "../ui/copy";
import { Dialog, DialogFoot, useKeptOpen } from "../ui/dialog";
import { Note } from "../ui/notes";

interface SigningSecretProps {
  name: string;
  secret: string;
  /** What became of the previous one; absent for a new webhook. */
  previous?: string;
  close: () => void;
}

export function SigningSecret({ name, secret, previous, close }: SigningSecretProps) {
  const [taken, setTaken] = useState(false);
  const [asking, setAsking] = useState(false);
  useKeptOpen(true);
  const dismiss = () => (taken ? close() : setAsking(!asking));
  const take = () => {
    setTaken(true);
    setAsking(false);
  };
  return (
    <Dialog title={`Signing secret for ${name}`} onDismiss={dismiss}>
      <p class="dialog-lead" role="status">
        Copy it now: it is shown only once. The endpoint verifies with it that events come from here. {previous}
      </p>
      <div class="command">
        <code data-testid="signing-secret" onCopy={take}>
          {secret}
        </code>
        <CopyButton text={secret} label="Copy secret" kind="primary" onCopied={take} autoFocus />
      </div>
      {asking && (
        <div role="alert">
          <Note tone="warn" title="You have not copied the signing secret.">
            <p>After you close this dialog, nobody can read it again; you would have to rotate it.</p>
            <div class="note-actions">
              <Button onClick={() => setAsking(false)} autoFocus>
                Go back
              </Button>
              <Button kind="danger" onClick={close}>
                Close without copying
              </Button>
            </div>
          </Note>
        </div>
      )}
      <DialogFoot>
        <Button kind={taken ? "primary" : "plain"} onClick={dismiss} disabled={asking}>
          Done
        </Button>
      </DialogFoot>
    </Dialog>
  );
}
