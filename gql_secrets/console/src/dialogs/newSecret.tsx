/** A new secret, shown once: it exists in this dialog and nowhere else in the browser. */

import { useEffect, useState } from "preact/hooks";
import type { ResetResult } from "../graphql/mutations";
import { download } from "../lib/clipboard";
import { serverNow } from "../lib/clock";
import { formatMoment } from "../lib/format";
import { Button, Hint } from "../ui/basics";
import { CopyButton } from "../ui/copy";
import { Dialog } from "../ui/dialog";
import {
  asCurl,
  asEnv,
  asIonapi,
  asJson,
  type ConsoleSettings,
  type Credentials,
  fileNameFor,
  readConsoleSettings,
} from "./files";
import { ShownOnceFoot, useShownOnce } from "./shownOnce";

interface NewSecretProps {
  /** Null where it could not be read: the secret is shown all the same. */
  clientId: string | null;
  clientName: string;
  secret: string;
  /** What else a reset did; absent for a created client. */
  result?: ResetResult;
  close: () => void;
}

export function NewSecret({ clientId, clientName, secret, result, close }: NewSecretProps) {
  const once = useShownOnce<HTMLElement>(close);
  const [settings, setSettings] = useState<ConsoleSettings | null>(null);

  useEffect(() => {
    readConsoleSettings().then(setSettings, () => setSettings(null)); // without it only one format is missing
  }, []);

  return (
    <Dialog title={`New secret for ${clientName}`} onDismiss={once.dismiss}>
      <p class="dialog-lead" role="status">
        {result ? "The secret was reset." : "The client was created."} Copy the new secret now: it is shown only once.
      </p>
      <dl class="credentials">
        <dt>Client id</dt>
        <dd>
          {clientId === null ? (
            "It could not be read. Copy the secret, then look for the client by its name in Authorized Apps."
          ) : (
            <>
              <code>{clientId}</code>
              <CopyButton text={clientId} label="Copy id" />
            </>
          )}
        </dd>
        <dt id="new-secret-label">New secret</dt>
        <dd ref={once.copy}>
          <input
            class="secret-text"
            data-testid="new-secret"
            readOnly
            aria-labelledby="new-secret-label"
            value={secret}
            autocomplete="off"
            spellcheck={false}
            onFocus={(event) => event.currentTarget.select()}
            onCopy={once.take}
          />
          <CopyButton text={secret} label="Copy secret" kind="primary" onCopied={once.take} autoFocus />
        </dd>
      </dl>
      {clientId !== null && <Forms credentials={{ clientId, clientName, secret, settings }} take={once.take} />}
      {result && <Aftermath result={result} />}
      <Next smooth={Boolean(result?.oldSecretExpiresAt)} reset={result !== undefined} />
      <ShownOnceFoot once={once} name="secret" loss="reset the secret once more" />
    </Dialog>
  );
}

/** The forms in which the credentials can be taken away together. */
function Forms({ credentials, take }: { credentials: Credentials; take: () => void }) {
  const save = (extension: string, content: string, type: string) => {
    download(`${fileNameFor(credentials.clientName)}${extension}`, content, type);
    take();
  };
  return (
    <>
      <div class="downloads" role="group" aria-label="Download">
        <span class="muted">Download</span>
        <Button icon="download" onClick={() => save(".env", asEnv(credentials), "text/plain")}>
          .env
        </Button>
        <Button icon="download" onClick={() => save(".json", asJson(credentials), "application/json")}>
          JSON
        </Button>
        {credentials.settings?.ionapiTemplate && (
          <Button icon="download" onClick={() => save(".ionapi", asIonapi(credentials), "application/json")}>
            .ionapi
          </Button>
        )}
      </div>
      <div class="downloads">
        <CopyButton text={asCurl(credentials)} label="Copy as curl test" kind="plain" onCopied={take} />
        <span class="muted">Run it where the application runs: it prints 200 if the secret works there.</span>
      </div>
    </>
  );
}

function Next({ smooth, reset }: { smooth: boolean; reset: boolean }) {
  return (
    <div class="next">
      <h3>What next</h3>
      <ol>
        <li>Put the new secret into every copy of the application.</li>
        {smooth && <li>Watch this client’s page: it shows which sources have moved to the new secret.</li>}
        {smooth && <li>Revoke the old secret when the page says that it is safe, or let it expire.</li>}
        {reset && !smooth && <li>Watch this client’s page for sources that are locked out: they need it too.</li>}
        {!reset && <li>The first use appears on this client’s page.</li>}
      </ol>
    </div>
  );
}

function Aftermath({ result }: { result: ResetResult }) {
  const { oldSecretExpiresAt, withdrawnSecret, displacedSecret, replayed } = result;
  return (
    <ul class="aftermath">
      {replayed && <li>This is the result of your first try. The reset was made only once.</li>}
      <li>
        {oldSecretExpiresAt
          ? `The old secret works until ${formatMoment(oldSecretExpiresAt, serverNow())}.`
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
