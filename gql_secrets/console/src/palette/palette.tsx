/** The command palette: one field that finds pages, clients and actions. */

import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import { request } from "../graphql/client";
import { FIND_CLIENTS, type FoundClient, type Viewer } from "../graphql/queries";
import { plural } from "../lib/format";
import { looksLikeSecret } from "../lib/secrets";
import { Dialog } from "../ui/dialog";
import { Icon } from "../ui/icons";
import { clientItem, fixedItems, type Item, matching } from "./items";

const FOUND_AT_MOST = 8;
const TYPING_PAUSE = 150;
const NOBODY: readonly FoundClient[] = [];

interface PaletteProps {
  viewer: Viewer;
  help: () => void;
  close: () => void;
}

export function Palette({ viewer, help, close }: PaletteProps) {
  const [typed, setTyped] = useState("");
  const [chosen, setChosen] = useState(0);
  const fixed = useMemo(() => fixedItems(viewer, help), []);
  const { found, searching, failed } = useFound(typed);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const items = [...matching(fixed, typed), ...found.map(clientItem)];
  const at = Math.min(chosen, items.length - 1);
  useEffect(() => list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" }), [at]);

  const run = (item: Item | undefined) => {
    if (!item) return;
    close();
    item.run();
  };
  const follow = (event: KeyboardEvent) => {
    if (event.isComposing) return;
    if (event.key === "Enter") {
      event.preventDefault(); // or it would press the button that has the focus next
      if (!event.repeat) run(items[at]);
      return;
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined || items.length === 0) return;
    event.preventDefault();
    setChosen((at + step + items.length) % items.length);
  };

  return (
    <Dialog title="Command palette" kind="palette" onDismiss={close}>
      <div class="search">
        <Icon name="search" />
        <input
          type="text"
          role="combobox"
          aria-label="Find a page, a client or an action"
          aria-expanded={items.length > 0}
          aria-controls={`${id}-list`}
          aria-activedescendant={items[at] && `${id}-${at}`}
          aria-autocomplete="list"
          placeholder="Find a page, a client or an action"
          autocomplete="off"
          spellcheck={false}
          autofocus
          value={typed}
          onInput={(event) => {
            setTyped(event.currentTarget.value);
            setChosen(0);
          }}
          onKeyDown={follow}
        />
      </div>
      <div
        id={`${id}-list`}
        class="palette-list"
        role="listbox"
        aria-label="Results"
        hidden={items.length === 0}
        ref={list}
      >
        {items.map((item, index) => (
          <Option
            key={`${item.group} ${item.words} ${item.detail ?? ""}`}
            id={`${id}-${index}`}
            item={item}
            first={items[index - 1]?.group !== item.group}
            selected={index === at}
            onPoint={() => setChosen(index)}
            onRun={() => run(item)}
          />
        ))}
      </div>
      <p class="palette-state muted" role="status">
        {stateOf(typed, items.length, searching, failed)}
      </p>
    </Dialog>
  );
}

interface OptionProps {
  id: string;
  item: Item;
  first: boolean;
  selected: boolean;
  onPoint: () => void;
  onRun: () => void;
}

function Option({ id, item, first, selected, onPoint, onRun }: OptionProps) {
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the field has the focus and follows the keys
    // biome-ignore lint/a11y/useFocusableInteractive: the field names it as its active descendant
    <div
      id={id}
      class={first ? "first" : ""}
      role="option"
      aria-selected={selected}
      onPointerMove={onPoint}
      onClick={onRun}
    >
      <span class="palette-words">{item.words}</span>
      {item.detail && <code class="muted">{item.detail}</code>}
      <span class="palette-group muted">{item.group}</span>
    </div>
  );
}

function stateOf(typed: string, count: number, searching: boolean, failed: boolean): string {
  if (looksLikeSecret(typed)) return "That looks like a secret. It was not sent.";
  if (failed) return "The clients could not be searched. Try again.";
  if (searching) return "Searching…";
  return count === 0 ? "No results" : plural(count, "result");
}

/** The clients that the server finds for what was typed. */
function useFound(typed: string) {
  const wanted = looksLikeSecret(typed) ? "" : typed.trim();
  const [answer, setAnswer] = useState<{ wanted: string; found: readonly FoundClient[]; failed: boolean }>({
    wanted: "",
    found: NOBODY,
    failed: false,
  });
  useEffect(() => {
    if (wanted === "") return undefined;
    const asking = new AbortController();
    const timer = setTimeout(() => {
      request(FIND_CLIENTS, { search: wanted, first: FOUND_AT_MOST }, asking.signal).then(
        ({ data }) => setAnswer({ wanted, found: data.clients?.nodes ?? NOBODY, failed: false }),
        () => asking.signal.aborted || setAnswer({ wanted, found: NOBODY, failed: true }),
      );
    }, TYPING_PAUSE);
    return () => {
      clearTimeout(timer);
      asking.abort();
    };
  }, [wanted]);
  // Until the answer comes, only those of the last one that fit: Enter must not open another client.
  const fits = ({ name, clientId }: FoundClient) =>
    [name, clientId].some((text) => text.toLowerCase().includes(wanted.toLowerCase()));
  return {
    found: wanted === "" ? NOBODY : answer.wanted === wanted ? answer.found : answer.found.filter(fits),
    failed: wanted !== "" && answer.failed,
    searching: wanted !== "" && answer.wanted !== wanted,
  };
}
