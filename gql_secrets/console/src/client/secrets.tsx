/** The current and the old secret side by side. */

import type { ComponentChildren } from "preact";
import type { ClientView, SecretView } from "../graphql/queries";
import { useNow } from "../lib/clock";
import { formatMoment, formatNumber } from "../lib/format";
import { Actor } from "../ui/actor";
import { At, Chip, Hint, When } from "../ui/basics";

export function Secrets({ client }: { client: ClientView }) {
  const now = useNow();
  const { currentSecret, oldSecret } = client;
  const disabled = (
    <Chip tone="bad" icon="pause">
      Disabled
    </Chip>
  );
  return (
    <div class={oldSecret ? "secrets" : "secrets one"}>
      <Card id="current-secret" title="Current secret" chip={client.enabled ? <Active /> : disabled}>
        {currentSecret ? (
          <Facts secret={currentSecret} wide={!oldSecret} />
        ) : (
          <p class="muted">This client has no secret.</p>
        )}
      </Card>
      {oldSecret && (
        <Card
          id="old-secret"
          title="Old secret"
          chip={
            client.enabled ? (
              <Chip tone="live" icon="clock">
                Active until {formatMoment(oldSecret.expiresAt ?? "", now)}
              </Chip>
            ) : (
              disabled
            )
          }
        >
          <Facts secret={oldSecret} />
        </Card>
      )}
    </div>
  );
}

const Active = () => (
  <Chip tone="good" icon="key">
    Active
  </Chip>
);

interface CardProps {
  id: string;
  title: string;
  chip: ComponentChildren;
  children: ComponentChildren;
}

function Card({ id, title, chip, children }: CardProps) {
  return (
    <section class="panel secret-card" aria-labelledby={id}>
      <header class="panel-head">
        <h2 id={id}>{title}</h2>
        {chip}
      </header>
      {children}
    </section>
  );
}

function Facts({ secret, wide = false }: { secret: SecretView; wide?: boolean }) {
  return (
    <dl class={wide ? "facts columns" : "facts"}>
      <dt>Secret</dt>
      <dd>
        <Hint hint={secret.hint} />
      </dd>
      <dt>Created</dt>
      <dd>
        <At at={secret.createdAt} />{" "}
        <span class="muted">
          by <Actor actor={secret.createdBy} name={secret.createdByName} />
        </span>
      </dd>
      <dt>First used</dt>
      <dd>
        <When at={secret.firstUsedAt} />
      </dd>
      <dt>Last used</dt>
      <dd>
        <When at={secret.lastUsedAt} />
      </dd>
      <dt>Uses</dt>
      <dd>{formatNumber(secret.useCount)}</dd>
      {secret.expiresAt && (
        <>
          <dt>Expires</dt>
          <dd>
            <At at={secret.expiresAt} />
          </dd>
        </>
      )}
    </dl>
  );
}
