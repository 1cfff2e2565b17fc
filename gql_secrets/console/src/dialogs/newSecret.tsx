/** A new secret, shown once: it lives in this dialog and nowhere else, and goes with it. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { ResetResult } from "../graphql/mutations";
import { download } from "../lib/clipboard";
import { formatFully } from "../lib/format";
import { Button, Hint } from "../ui/basics";
import { CopyButton } from "../ui/copy";
import { Dialog, DialogFoot } from "../ui/dialog";
import { Note } from "../ui/notes";
import { asEnv, asIonapi, asJson, fileNameFor, readConsoleSettings, type ConsoleSettings } from "./files";

interface NewSecretProps {
  title: string;
  clientId: string;
  clientName: string;
  secret: string;
  /** What a reset did besides; a created client has none. */
  result?: ResetResult;
  close: () => void;
}

export function NewSecret({ title, clientId, clientName, secret, result, close }: NewSecretProps) {
  const [taken, setTaken] = useState(false);
  const [asking, setAsking] = useState(false);
  const [settings, setSettings] = useState<ConsoleSettings | null>(null);
  const back = useRef<HTMLDivElement>(null);
  const credentials = { clientId, clientName, secret, settings };

  useEffect(() => {
    readConsoleSettings().then(setSettings, () => setSettings(null)); // without it one format is missing, no more
  }, []);
  useEffect(() => {
    if (taken) return undefined;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [taken]);
  useEffect(() => {
    if (asking) back.current?.querySelector("button")?.focus();
  }, [asking]);

  const dismiss = () => (taken || asking ? close() : setAsking(true));
  const save = (extension: string, content: string, type: string) => {
    download(`${fileNameFor(clientName)}${extension}`, content, type);
    setTaken(true);
  };

  return (
    <Dialog title={title} onDismiss={dismiss} onForced={close}>
      <p class="dialog-lead" role="status">
        {result ? "The secret was reset." : "The client was created."} This is the new secret of{" "}
        <strong>{clientName}</strong>. It is shown once and cannot be read again.
      </p>
      <dl class="credentials">
        <dt>Client id</dt>
        <dd>
          <code>{clientId}</code>
          <CopyButton text={clientId} label="Copy id" />
        </dd>
        <dt id="new-secret-label">New secret</dt>
        <dd>
          <input
            class="secret-text"
            data-testid="new-secret"
            readOnly
            aria-labelledby="new-secret-label"
            value={secret}
            autocomplete="off"
            spellcheck={false}
            onFocus={(event) => event.currentTarget.select()}
            onCopy={() => setTaken(true)}
          />
          <CopyButton text={secret} label="Copy secret" kind="primary" onCopied={() => setTaken(true)} />
        </dd>
      </dl>
      <div class="downloads" role="group" aria-label="Download">
        <span class="muted">Download</span>
        <Button icon="download" onClick={() => save(".env", asEnv(credentials), "text/plain")}>
          .env
        </Button>
        <Button icon="download" onClick={() => save(".json", asJson(credentials), "application/json")}>
          JSON
        </Button>
        {settings?.ionapiTemplate && (
          <Button icon="download" onClick={() => save(".ionapi", asIonapi(credentials), "application/json")}>
            .ionapi
          </Button>
        )}
      </div>
      {result && <Aftermath result={result} />}
      {asking && (
        <div ref={back} role="alert">
          <Note tone="warn" title="You have not copied the secret.">
            <p>Once this is closed nobody can read it again; you would have to reset it once more.</p>
            <div class="note-actions">
              <Button onClick={() => setAsking(false)}>Go back</Button>
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

function Aftermath({ result }: { result: ResetResult }) {
  const { oldSecretExpiresAt, withdrawnSecret, displacedSecret, replayed } = result;
  return (
    <ul class="aftermath">
      {replayed && <li>This is the answer to your first try: the reset was made once.</li>}
      <li>
        {oldSecretExpiresAt
          ? `The old secret stays good until ${formatFully(oldSecretExpiresAt)}.`
          : "The old secret has ended."}
      </li>
      {displacedSecret && (
        <li>
          The older secret <Hint hint={displacedSecret.hint} /> has ended.
        </li>
      )}
      {withdrawnSecret && (
        <li>
          The unused secret <Hint hint={withdrawnSecret.hint} /> was withdrawn.
        </li>
      )}
    </ul>
  );
}
