/** What became of one client of several. */

import { Icon } from "../ui/icons";

export interface OutcomeWords {
  readonly done: boolean;
  readonly words: string;
}

export function Outcome({ outcome }: { outcome: OutcomeWords | undefined }) {
  if (!outcome) return null;
  return (
    <span class={`outcome ${outcome.done ? "done" : "refused"}`}>
      <Icon name={outcome.done ? "check" : "warn"} />
      {outcome.words}
    </span>
  );
}
