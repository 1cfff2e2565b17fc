/** What to know before a reset. */

import type { ClientView } from "../graphql/queries";
import { Hint, When } from "../ui/basics";
import { Switch } from "../ui/fields";
import { Note } from "../ui/notes";

/** During a rollover, a new secret that nobody has used yet gives way to a newer one. */
export function WithdrawalWarning({ client }: { client: ClientView }) {
  const { currentSecret, oldSecret } = client;
  if (!currentSecret || !oldSecret || currentSecret.firstUsedAt) return null;
  return (
    <Note tone="warn" title="A rollover is running. This reset withdraws its new secret.">
      <p>
        <Hint hint={currentSecret.hint} />, created <When at={currentSecret.createdAt} />, has not been used yet. People
        who received it need the newer one. The old secret <Hint hint={oldSecret.hint} /> stays valid.
      </p>
    </Note>
  );
}

interface OwnerWarningProps {
  understood: boolean;
  onChange: (understood: boolean) => void;
  disabled: boolean;
}

/** The secret of an owner client opens the whole installation. */
export function OwnerWarning({ understood, onChange, disabled }: OwnerWarningProps) {
  return (
    <Note tone="warn" title="This client administers gql-secrets.">
      <p>
        Changing the secret of an owner client can affect more than this client. Talk to the people who run gql-secrets
        first, and deploy the new secret before the old one ends.
      </p>
      <Switch
        kind="checkbox"
        label="I will deploy the new secret before the old one ends"
        checked={understood}
        onChange={onChange}
        disabled={disabled}
      />
    </Note>
  );
}
