/** What the verdict needs to know, picked from what the page has read. */

import type { ClientView } from "../graphql/queries";
import type { Source } from "./sources";
import type { RolloverFacts } from "./verdict";

export function rolloverFacts(client: ClientView, sources: readonly Source[] | null): RolloverFacts | null {
  const { rollover, oldSecret, currentSecret, enabled } = client;
  if (!rollover || !oldSecret) return null;
  return {
    enabled,
    advice: rollover.advice,
    reason: rollover.reason,
    endsAt: rollover.endsAt,
    newFirstUsedAt: currentSecret?.firstUsedAt ?? null,
    oldLastUsedAt: oldSecret.lastUsedAt,
    sources,
    moved: rollover.sourcesMoved ?? 0,
    total: rollover.sourcesTotal ?? 0,
  };
}
