/** What another person did while a dialog was open. */

import { serverNow } from "../lib/clock";
import { formatPast } from "../lib/format";
import { actorName } from "../lib/words";

interface CurrentSecret {
  readonly id: string;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly createdByName: string | null;
}

export interface Changing {
  readonly currentSecret: CurrentSecret | null;
}

/** "Ada reset this secret 4 seconds ago.", as far as the client itself says what happened. */
export function changeOf(before: Changing, now: Changing | null): string {
  if (!now) return "This client was deleted.";
  const { currentSecret } = now;
  if (currentSecret && currentSecret.id !== before.currentSecret?.id) {
    return `${actorName(currentSecret.createdBy, currentSecret.createdByName)} reset this secret ${formatPast(currentSecret.createdAt, serverNow())}.`;
  }
  return "Somebody changed this client since you opened this dialog.";
}
