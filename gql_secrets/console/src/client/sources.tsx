/** Who uses which secret, the greatest danger first. */

import { useState } from "preact/hooks";
import { formatNumber, plural } from "../lib/format";
import { type Source, type SourceState, sourceName } from "../rollover/sources";
import { Button, Chip, Panel, Scrolled, type Tone, When } from "../ui/basics";
import type { IconName } from "../ui/icons";

const SHOWN_AT_FIRST = 10;

const STATE_WORDS: Readonly<Record<SourceState, { tone: Tone; icon?: IconName; words: string }>> = {
  NOT_ALLOWED: { tone: "bad", icon: "warn", words: "Refused: address not allowed" },
  LOCKED_OUT: { tone: "bad", icon: "stop", words: "Locked out" },
  STILL_OLD: { tone: "warn", icon: "warn", words: "Still old" },
  NOT_SEEN_WITH_NEW: { tone: "warn", icon: "clock", words: "Not seen with new" },
  MOVED: { tone: "good", icon: "check", words: "Moved" },
  IN_USE: { tone: "good", icon: "check", words: "In use" },
};

interface SourcesProps {
  sources: readonly Source[];
  /** Null without a rollover. */
  rollover: { readonly sourcesMoved: number | null; readonly sourcesTotal: number | null } | null;
}

export function Sources({ sources, rollover }: SourcesProps) {
  const inRollover = rollover !== null;
  const [all, setAll] = useState(false);
  const shown = all ? sources : sources.slice(0, SHOWN_AT_FIRST);
  return (
    <Panel
      id="sources"
      title="Sources"
      aside={
        Boolean(rollover?.sourcesTotal) && (
          <span class="muted">{`${rollover?.sourcesMoved} of ${plural(rollover?.sourcesTotal ?? 0, "source")} moved`}</span>
        )
      }
    >
      {sources.length === 0 ? (
        <p class="muted">Nobody has used a secret of this client yet.</p>
      ) : (
        <Scrolled label="Sources">
          <table class="records stacked sources">
            <thead>
              <tr>
                <th scope="col">Source</th>
                <th scope="col">State</th>
                <th scope="col">{inRollover ? "New secret" : "Last used"}</th>
                {inRollover && <th scope="col">Old secret</th>}
                <th scope="col" class="number">
                  Uses
                </th>
              </tr>
            </thead>
            <tbody>
              {shown.map((source) => (
                <tr key={sourceName(source)}>
                  <th scope="row">
                    <code>{source.address ?? "unknown address"}</code>
                    <span class="agent">{source.userAgent ?? "no user agent"}</span>
                  </th>
                  <td>
                    <State source={source} />
                  </td>
                  <td
                    data-label={inRollover ? "New secret" : "Last used"}
                    class={source.newLastUsedAt ? "nowrap" : "nowrap nothing"}
                  >
                    <When at={source.newLastUsedAt} never="–" />
                  </td>
                  {inRollover && (
                    <td data-label="Old secret" class={source.oldLastUsedAt ? "nowrap" : "nowrap nothing"}>
                      <When at={source.oldLastUsedAt} never="–" />
                    </td>
                  )}
                  <td data-label="Uses" class="number">
                    {formatNumber(source.useCount)}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scrolled>
      )}
      {sources.length > SHOWN_AT_FIRST && (
        <p class="panel-foot">
          <Button onClick={() => setAll(!all)}>
            {all ? `Show the first ${SHOWN_AT_FIRST}` : `Show all ${sources.length}`}
          </Button>
        </p>
      )}
    </Panel>
  );
}

function State({ source }: { source: Source }) {
  const { tone, icon, words } = STATE_WORDS[source.state];
  return (
    <>
      <Chip tone={tone} {...(icon ? { icon } : {})}>
        {words}
      </Chip>
      {source.refusedCount > 0 && (
        <span class="second nowrap">
          {plural(source.refusedCount, "refused attempt")}, last <When at={source.lastRefusedAt} />
        </span>
      )}
    </>
  );
}
