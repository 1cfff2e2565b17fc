/** One button for what is on the screen as a program would ask for it: GraphQL, curl, and the command line. */

import { useId, useState } from "preact/hooks";
import { addressOf } from "../explorer/address";
import { textOf } from "../graphql/graphql";
import { Button } from "./basics";
import { CopyButton } from "./copy";
import { Dialog, DialogFoot, openDialog } from "./dialog";

export interface Operation {
  readonly name: string;
  readonly document: object;
  readonly variables: Readonly<Record<string, unknown>>;
}

interface ApiProps {
  operations: readonly Operation[];
  /** The same on the command line. */
  command?: string | undefined;
}

export function ApiButton(props: ApiProps) {
  return (
    <Button icon="code" onClick={() => openDialog((close) => <ApiDialog {...props} close={close} />)}>
      API
    </Button>
  );
}

type Form = "GraphQL" | "curl" | "CLI";

function ApiDialog({ operations, command, close }: ApiProps & { close: () => void }) {
  const [chosen, setChosen] = useState(0);
  const [form, setForm] = useState<Form>("GraphQL");
  const id = useId();
  const operation = operations[chosen];
  if (!operation) return null;
  const text = textIn(form, operation, command);
  return (
    <Dialog title="API" onDismiss={close}>
      <p class="dialog-lead">How a program reads what this page shows.</p>
      <div class="api-tools">
        {operations.length > 1 && form !== "CLI" && (
          <>
            <label for={id} class="hidden">
              What
            </label>
            <select id={id} value={chosen} onChange={(event) => setChosen(Number(event.currentTarget.value))}>
              {operations.map(({ name }, index) => (
                <option key={name} value={index}>
                  {name}
                </option>
              ))}
            </select>
          </>
        )}
        <div class="segments small" role="group" aria-label="Form">
          {(["GraphQL", "curl", ...(command ? (["CLI"] as const) : [])] as const).map((each) => (
            <button key={each} type="button" aria-pressed={form === each} onClick={() => setForm(each)}>
              {each}
            </button>
          ))}
        </div>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: keyboards scroll what has the focus */}
      <pre class="api-text" tabIndex={0}>
        <code>{text}</code>
      </pre>
      <DialogFoot>
        <a
          class="show-query"
          href={addressOf(textOf(operation.document), operation.variables)}
          target="_blank"
          rel="noopener"
        >
          Open in the explorer
        </a>
        <CopyButton text={text} label={`Copy ${form}`} kind="primary" />
        <Button onClick={close} autoFocus>
          Close
        </Button>
      </DialogFoot>
    </Dialog>
  );
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** The credentials are variables of the shell: a command that is copied holds no secret. */
function textIn(form: Form, { document, variables }: Operation, command: string | undefined): string {
  const given = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== null));
  const query = textOf(document);
  switch (form) {
    case "GraphQL":
      return Object.keys(given).length > 0 ? `${query}\n\n# Variables:\n${JSON.stringify(given, null, 2)}` : query;
    case "curl":
      return [
        `curl -s ${location.origin}/graphql \\`,
        '  -u "$CLIENT_ID:$CLIENT_SECRET" \\',
        "  -H 'Content-Type: application/json' \\",
        `  -d ${quoted(JSON.stringify({ query, variables: given }))}`,
      ].join("\n");
    case "CLI":
      return command ?? "";
  }
}
