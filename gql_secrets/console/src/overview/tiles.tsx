/** The counts of the home page: each is a list with an address of its own. */

import { useEffect, useRef } from "preact/hooks";
import { BulkRevokeDialog } from "../dialogs/bulkRevoke";
import { RequestFailed, request } from "../graphql/client";
import { SAFE_TO_REVOKE } from "../graphql/overviewQueries";
import { useAction } from "../graphql/useAction";
import { formatNumber } from "../lib/format";
import type { Show, Sort } from "../lib/listView";
import { listAddressOf } from "../lib/router";
import { Button } from "../ui/basics";
import { openDialog } from "../ui/dialog";
import { Icon, type IconName } from "../ui/icons";
import { say } from "../ui/toast";

export type Count = "lockedOut" | "endingSoon" | "safeToRevoke" | "waiting" | "dueForRotation" | "neverUsed";

export interface TileWords {
  readonly count: Count;
  readonly show: Show;
  readonly sort: Sort;
  readonly title: string;
  readonly hint: string;
  /** How it looks with something in it. */
  readonly tone: "bad" | "good" | "warn" | "calm";
  readonly icon: IconName;
}

export const NOW: readonly TileWords[] = [
  {
    count: "lockedOut",
    show: "locked-out",
    sort: "newest",
    title: "Locked out",
    hint: "A secret that has ended was tried in the last 24 hours",
    tone: "bad",
    icon: "stop",
  },
  {
    count: "endingSoon",
    show: "ending-soon",
    sort: "rollover-end",
    title: "Ending soon, still used",
    hint: "The old secret ends within 24 hours and is still in use",
    tone: "bad",
    icon: "warn",
  },
  {
    count: "safeToRevoke",
    show: "safe-to-revoke",
    sort: "rollover-end",
    title: "Safe to revoke",
    hint: "The new secret is in use, and the old one has been quiet",
    tone: "good",
    icon: "check",
  },
];

export const LATER: readonly TileWords[] = [
  {
    count: "waiting",
    show: "waiting",
    sort: "rollover-end",
    title: "Waiting",
    hint: "The new secret is not deployed everywhere yet",
    tone: "warn",
    icon: "clock",
  },
  {
    count: "dueForRotation",
    show: "due-for-rotation",
    sort: "secret-age-desc",
    title: "Due for rotation",
    hint: "Past its maximum age, or 90 days without one",
    tone: "warn",
    icon: "key",
  },
  {
    count: "neverUsed",
    show: "never-used",
    sort: "oldest",
    title: "Never used",
    hint: "None of the client’s secrets was ever used",
    tone: "calm",
    icon: "pause",
  },
];

interface TileProps {
  tile: TileWords;
  count: number;
  children?: preact.ComponentChildren;
}

export function Tile({ tile, count, children }: TileProps) {
  const { title, hint, icon, show, sort } = tile;
  return (
    <div class={`tile ${count > 0 ? tile.tone : "none"}`}>
      <a href={listAddressOf({ show, sort })}>
        <span class="tile-title">
          <Icon name={icon} />
          {title}
        </span>
        <span class="tile-count">{formatNumber(count)}</span>
        <span class="tile-hint">{hint}</span>
      </a>
      {children}
    </div>
  );
}

/** Read which ones there are now, and ask before any of them ends. */
export function RevokeAll({ count, onDone }: { count: number; onDone: () => void }) {
  const action = useAction();
  const gone = useRef(false);
  useEffect(
    () => () => {
      gone.current = true;
    },
    [],
  );
  const open = () =>
    action.run(async () => {
      try {
        const { data } = await request(SAFE_TO_REVOKE, {});
        const targets = (data.clients?.nodes ?? []).flatMap(({ clientId, name, rollover }) =>
          rollover?.advice === "REVOKE"
            ? [
                {
                  clientId,
                  name,
                  secretId: rollover.oldSecret.id,
                  hint: rollover.oldSecret.hint,
                  unmoved: (rollover.sourcesTotal ?? 0) - (rollover.sourcesMoved ?? 0),
                },
              ]
            : [],
        );
        if (gone.current) return; // the person has gone to another page
        if (targets.length === 0) say("No old secret is safe to revoke any more.");
        else openDialog((close) => <BulkRevokeDialog targets={targets} close={close} onDone={onDone} />);
      } catch (failure) {
        if (failure instanceof RequestFailed && failure.kind !== "signed-out") say(failure.message);
      }
    });
  return (
    <div class="tile-act">
      <Button onClick={open} disabled={action.pending}>
        {count === 1 ? "Revoke it" : `Revoke ${count > 100 ? "the first 100" : `all ${formatNumber(count)}`}`}
      </Button>
    </div>
  );
}
