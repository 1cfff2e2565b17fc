/** Small parts that every page uses. */

import type { ComponentChildren } from "preact";
import { addressOf } from "../explorer/address";
import { textOf } from "../graphql/graphql";
import { useNow } from "../lib/clock";
import { formatDateTime, formatFully, formatPast } from "../lib/format";
import { Icon, type IconName } from "./icons";

export type Tone = "good" | "warn" | "bad" | "calm" | "live";

export function Chip({ tone, icon, children }: { tone: Tone; icon?: IconName; children: ComponentChildren }) {
  return (
    <span class={`chip ${tone}`}>
      {icon && <Icon name={icon} />}
      <span>{children}</span>
    </span>
  );
}

interface ButtonProps {
  kind?: "primary" | "danger" | "plain" | "quiet";
  icon?: IconName;
  type?: "button" | "submit";
  disabled?: boolean;
  onClick?: () => unknown;
  /** Where a dialog's focus begins: the way out, if there is nothing to type. */
  autoFocus?: boolean;
  children: ComponentChildren;
}

export function Button(props: ButtonProps) {
  const { kind = "plain", icon, type = "button", disabled = false, autoFocus = false, onClick, children } = props;
  return (
    <button type={type} class={`button ${kind}`} disabled={disabled} autofocus={autoFocus} onClick={() => onClick?.()}>
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

/** An instant of the past: how long ago, and on demand exactly when. */
export function When({ at, never = "never" }: { at: string | null | undefined; never?: string }) {
  const now = useNow();
  if (!at) return <span class="muted">{never}</span>;
  return (
    <time dateTime={at} title={formatFully(at)}>
      {formatPast(at, now)}
    </time>
  );
}

/** An instant as a date, for records. */
export function At({ at }: { at: string | null }) {
  if (!at) return <span class="muted">–</span>;
  return (
    <time dateTime={at} title={formatFully(at)}>
      {formatDateTime(at)}
    </time>
  );
}

/** The last characters of a secret: the only part that is ever shown again. */
export function Hint({ hint }: { hint: string }) {
  if (!hint) return <span class="muted">not kept</span>;
  return (
    <code class="hint">
      <span aria-hidden="true">…</span>
      <span class="hidden">ends with </span>
      {hint}
    </code>
  );
}

/** Opens the explorer with this operation. The variables must hold no secret: they become part of an address. */
export function ShowQuery({
  document,
  variables,
  of,
}: {
  document: object;
  variables: Readonly<Record<string, unknown>>;
  of?: string;
}) {
  return (
    <a class="show-query" href={addressOf(textOf(document), variables)} target="_blank" rel="noopener">
      <Icon name="code" />
      Show query
      <span class="hidden">{of ? ` of ${of}` : ""} (opens the explorer)</span>
    </a>
  );
}

export function Panel({
  title,
  aside,
  children,
  id,
}: {
  title: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
  id: string;
}) {
  return (
    <section class="panel" aria-labelledby={id}>
      <header class="panel-head">
        <h2 id={id}>{title}</h2>
        {aside && <div class="panel-aside">{aside}</div>}
      </header>
      {children}
    </section>
  );
}

/** A wide table scrolls inside its own frame, by keyboard too. */
export function Scrolled({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: keyboards scroll what has the focus
    <div class="scrolled" role="group" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}
