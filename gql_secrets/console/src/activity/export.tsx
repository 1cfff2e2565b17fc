/** The filtered events as a file, for those who keep or examine them elsewhere. */

import type { ResultOf } from "gql.tada";
import { type Answer, request } from "../graphql/client";
import { ACTIVITY, type ActivityEntry } from "../graphql/queries";
import { useAction } from "../graphql/useAction";
import type { activityArguments } from "../lib/activityView";
import { download } from "../lib/clipboard";
import { formatNumber } from "../lib/format";
import { Button } from "../ui/basics";
import { FailureNote } from "../ui/notes";
import { say } from "../ui/toast";
import { asCsv, asJsonLines } from "./files";

const PAGE_SIZE = 100;
/** A browser holds the whole file in memory; longer logs are for the command line. */
const MAX_EVENTS = 10_000;

interface ExportProps {
  filter: ReturnType<typeof activityArguments>;
  total: number;
}

export function Export({ filter, total }: ExportProps) {
  const action = useAction();
  const save = (extension: string, type: string, write: (events: readonly ActivityEntry[]) => string) =>
    action.run(async () => {
      const events = await readAll(filter);
      download(`activity.${extension}`, write(events), type);
      if (total > events.length) {
        say(
          `Only the newest ${formatNumber(events.length)} events were exported; use gql-secrets audit export for all of them.`,
        );
      }
    });
  return (
    <div class="downloads" role="group" aria-label="Export">
      <Button icon="download" disabled={action.pending || total === 0} onClick={() => save("csv", "text/csv", asCsv)}>
        {action.pending ? "Exporting…" : "CSV"}
      </Button>
      <Button
        icon="download"
        disabled={action.pending || total === 0}
        onClick={() => save("jsonl", "application/x-ndjson", asJsonLines)}
      >
        JSON Lines
      </Button>
      {action.failure && <FailureNote failure={action.failure} />}
    </div>
  );
}

async function readAll(filter: ExportProps["filter"]): Promise<readonly ActivityEntry[]> {
  const events: ActivityEntry[] = [];
  let after: string | null = null;
  do {
    const answer: Answer<ResultOf<typeof ACTIVITY>> = await request(ACTIVITY, { ...filter, first: PAGE_SIZE, after });
    const page = answer.data.auditEvents;
    events.push(...(page?.nodes ?? []));
    after = page?.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
  } while (after !== null && events.length < MAX_EVENTS);
  return events;
}
