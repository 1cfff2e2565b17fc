/** What one may do to the selected clients together. */

import { BulkResetDialog } from "../dialogs/bulkReset";
import { BulkRevokeDialog } from "../dialogs/bulkRevoke";
import type { AppRow } from "../graphql/queries";
import { plural } from "../lib/format";
import { Button } from "../ui/basics";
import { openDialog } from "../ui/dialog";

interface SelectionBarProps {
  rows: readonly AppRow[];
  onClear: () => void;
  onDone: () => void;
}

export function SelectionBar({ rows, onClear, onDone }: SelectionBarProps) {
  const revocable = rows.flatMap((row) =>
    row.rollover && row.viewerCanRevokeOldSecret
      ? [
          {
            clientId: row.clientId,
            name: row.name,
            secretId: row.rollover.oldSecret.id,
            hint: row.rollover.oldSecret.hint,
            unmoved: (row.rollover.sourcesTotal ?? 0) - (row.rollover.sourcesMoved ?? 0),
          },
        ]
      : [],
  );
  const resettable = rows.filter((row) => row.viewerCanSmoothReset && !row.rollover);
  if (rows.length === 0) return null;
  return (
    <section class="selection" aria-label="Selected clients">
      <p role="status">{plural(rows.length, "client")} selected</p>
      <Button
        disabled={resettable.length === 0}
        onClick={() => openDialog((close) => <BulkResetDialog rows={resettable} close={close} onDone={onDone} />)}
      >
        {resettable.length > 0 ? `Reset ${plural(resettable.length, "secret")}` : "Reset: all are in rollover"}
      </Button>
      <Button
        disabled={revocable.length === 0}
        onClick={() => openDialog((close) => <BulkRevokeDialog targets={revocable} close={close} onDone={onDone} />)}
      >
        {revocable.length > 0 ? `Revoke ${plural(revocable.length, "old secret")}` : "Revoke: no old secret"}
      </Button>
      <Button kind="quiet" onClick={onClear}>
        Clear selection
      </Button>
    </section>
  );
}
