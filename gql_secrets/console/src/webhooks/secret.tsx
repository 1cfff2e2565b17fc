/** A signing secret, shown once. */

import { ShownOnceFoot, useShownOnce } from "../dialogs/shownOnce";
import { CopyButton } from "../ui/copy";
import { Dialog } from "../ui/dialog";

interface SigningSecretProps {
  name: string;
  secret: string;
  /** What became of the previous one; absent for a new webhook. */
  previous?: string;
  close: () => void;
}

export function SigningSecret({ name, secret, previous, close }: SigningSecretProps) {
  const once = useShownOnce<HTMLDivElement>(close);
  return (
    <Dialog title={`Signing secret for ${name}`} onDismiss={once.dismiss}>
      <p class="dialog-lead" role="status">
        Copy it now: it is shown only once. The endpoint uses it to verify that events come from this server. {previous}
      </p>
      <div class="command" ref={once.copy}>
        <code data-testid="signing-secret" onCopy={once.take}>
          {secret}
        </code>
        <CopyButton text={secret} label="Copy secret" kind="primary" onCopied={once.take} autoFocus />
      </div>
      <ShownOnceFoot once={once} name="signing secret" loss="rotate it" />
    </Dialog>
  );
}
