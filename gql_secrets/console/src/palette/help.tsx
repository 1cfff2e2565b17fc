/** The keyboard shortcuts, and a switch for those of a single character. */

import { useState } from "preact/hooks";
import { areSingleKeysOn, paletteKeys, turnSingleKeys } from "../lib/keys";
import { Button } from "../ui/basics";
import { Dialog, DialogFoot } from "../ui/dialog";
import { Switch } from "../ui/fields";

export function KeyboardHelp({ close }: { close: () => void }) {
  const [on, setOn] = useState(areSingleKeysOn);
  const shortcuts = [
    [paletteKeys(), "Open the command palette: find a page, a client or an action"],
    ["/", "Go to the search field of the list, or open the command palette"],
    ["?", "Show this list"],
    ["↑ ↓", "Move in the command palette"],
    ["Enter", "Run the chosen action, or press the button that has the focus"],
    ["Esc", "Close a dialog; one that shows a new secret asks first"],
  ] as const;
  return (
    <Dialog title="Keyboard shortcuts" onDismiss={close}>
      <dl class="keys">
        {shortcuts.map(([keys, words]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{words}</dd>
          </div>
        ))}
      </dl>
      <Switch
        label="Single-character shortcuts"
        hint="Turn / and ? off if you use speech input. They never act while you type in a field."
        checked={on}
        onChange={(next) => {
          turnSingleKeys(next);
          setOn(next);
        }}
      />
      <DialogFoot>
        <Button onClick={close} autoFocus>
          Close
        </Button>
      </DialogFoot>
    </Dialog>
  );
}
