/** What one should know before a reset. */

import type { ClientView } from "../graphql/queries";
import { Hint, When } from "../ui/basics";
import { Switch } from "../ui/fields";
import { Note } from "../ui/notes";

/** A hard reset: plain words, and who would notice. */
export function AtOnce({ client }: { client: ClientView }) {
  const { currentSecret, oldSecret } = client;
  return (
    <Note tone="bad" title="The old secret stops working at once.">
      <p>
        Everything that still uses it is locked out until it has the new one.
        {currentSecret?.lastUsedAt && (
          <>
            {" "}
            It was last used <When at={currentSecret.lastUsedAt} />.
          </>
        )}
      </p>
      {oldSecret && (
        <p>
          The secret kept by the running rollover, <Hint hint={oldSecret.hint} />, ends too
          {oldSecret.lastUsedAt && (
            <>
              {" "}
              (last used <When at={oldSecret.lastUsedAt} />)
            </>
          )}
          .
        </p>
      )}
    </Note>
  );
}

interface OwnerWarningProps {
  understood: boolean;
  onChange: (understood: boolean) => void;
  disabled: boolean;
}

/** An owner client's secret is the key of the house. */
export function OwnerWarning({ understood, onChange, disabled }: OwnerWarningProps) {
  return (
    <Note tone="warn" title="This client administers gql-secrets.">
      <p>
        Changing the secret of an owner client can have repercussions that go beyond simply assigning a new secret. Talk
        to the people who run gql-secrets first, and have the new secret in place before the old one ends.
      </p>
      <Switch
        kind="checkbox"
        label="I will have the new secret in place before the old one ends"
        checked={understood}
        onChange={onChange}
        disabled={disabled}
      />
    </Note>
  );
}
