import { plural } from "../lib/format";
import { type Source, sourceName } from "../rollover/sources";
import { When } from "../ui/basics";

const NAMED = 5;

/** Some sources: address, agent, and when they were last seen. */
export function SourceList({ sources, label }: { sources: readonly Source[]; label: string }) {
  return (
    <ul class="source-list" aria-label={label}>
      {sources.slice(0, NAMED).map((source) => (
        <li key={sourceName(source)}>
          <code>{source.address ?? "unknown address"}</code>
          <span class="agent">{source.userAgent ?? "no user agent"}</span>
          <span class="muted nowrap">
            <When at={source.lastSeenAt} />
          </span>
        </li>
      ))}
      {sources.length > NAMED && <li class="muted">and {plural(sources.length - NAMED, "other")}</li>}
    </ul>
  );
}
