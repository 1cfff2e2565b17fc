/** Keyset paging: forward by a cursor, back by remembering the cursors. */

import { useState } from "preact/hooks";
import { formatNumber } from "../lib/format";
import { Button } from "./basics";

export interface Paging {
  readonly after: string | null;
  readonly page: number;
  readonly forward: (endCursor: string) => void;
  readonly back: () => void;
}

/** Which page of what is shown; the first page as soon as `scope` says that it is something else. */
export interface Place {
  readonly scope: string;
  readonly cursors: readonly string[];
}

export function usePaging(scope = "", left?: { get(): Place; set(place: Place): void }): Paging {
  const [place, setPlace] = useState<Place>(left?.get() ?? { scope, cursors: [] });
  const cursors = place.scope === scope ? place.cursors : [];
  const go = (next: readonly string[]) => {
    setPlace({ scope, cursors: next });
    left?.set({ scope, cursors: next });
  };
  return {
    after: cursors.at(-1) ?? null,
    page: cursors.length,
    forward: (endCursor) => go([...cursors, endCursor]),
    back: () => go(cursors.slice(0, -1)),
  };
}

/** One page of a GraphQL connection. */
export interface Connection<Row> {
  readonly totalCount: number;
  readonly nodes: readonly Row[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

interface PagerProps {
  paging: Paging;
  size: number;
  connection: Connection<unknown>;
  what: string;
}

export function Pager({ paging, size, connection, what }: PagerProps) {
  const { totalCount, pageInfo } = connection;
  const shown = connection.nodes.length;
  if (paging.page === 0 && !pageInfo.hasNextPage) return null;
  const first = paging.page * size + 1;
  // The page before is still shown: its cursor would lead to the same page once more.
  const turning = pageInfo.endCursor !== null && pageInfo.endCursor === paging.after;
  return (
    <nav class="pager" aria-label={`Pages of ${what}`}>
      <span class="muted" role="status">
        {shown > 0
          ? `${formatNumber(first)}–${formatNumber(first + shown - 1)} of ${formatNumber(totalCount)}`
          : "Empty page"}
      </span>
      <Button icon="left" disabled={paging.page === 0} onClick={paging.back}>
        Previous
      </Button>
      <Button
        disabled={!pageInfo.hasNextPage || turning}
        onClick={() => pageInfo.endCursor && paging.forward(pageInfo.endCursor)}
      >
        Next
      </Button>
    </nav>
  );
}
