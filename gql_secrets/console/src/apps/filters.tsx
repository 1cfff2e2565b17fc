/** What narrows and orders the list: the search box, the filters, the feature and the order. */

import { useId, useState } from "preact/hooks";
import type { Feature } from "../graphql/queries";
import { isLabel, MAX_LABELS } from "../lib/labels";
import { type ListView, SHOWS, type Show, SORTS, type Sort } from "../lib/listView";
import { FEATURES, featureName } from "../lib/words";
import { Choice } from "../ui/choice";
import { Icon } from "../ui/icons";

interface FiltersProps {
  view: ListView;
  typed: string;
  onType: (typed: string) => void;
  onChange: (next: Partial<ListView>) => void;
  count: string;
}

export function Filters({ view, typed, onType, onChange, count }: FiltersProps) {
  return (
    <>
      <div class="toolbar">
        <div class="search">
          <Icon name="search" />
          <input
            type="search"
            aria-label="Search by name, description or client id"
            placeholder="Search by name, description or client id"
            value={typed}
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => onType(event.currentTarget.value)}
          />
        </div>
        <Choice
          label="Feature"
          value={view.feature ?? ""}
          onChange={(feature) => onChange({ feature: feature ? (feature as Feature) : null })}
          choices={[
            ["", "Any feature"],
            ...(Object.keys(FEATURES) as Feature[]).map((feature) => [feature, featureName(feature)] as const),
          ]}
        />
        <Choice
          label="Order"
          value={view.sort}
          onChange={(sort) => onChange({ sort: sort as Sort })}
          choices={Object.entries(SORTS).map(([sort, { words }]) => [sort, words] as const)}
        />
        <LabelFilter labels={view.labels} onChange={(labels) => onChange({ labels })} />
        <p class="count muted" role="status">
          {count}
        </p>
      </div>
      <div class="pills" role="group" aria-label="Which clients">
        <button type="button" aria-pressed={view.show === null} onClick={() => onChange({ show: null })}>
          All
        </button>
        {(Object.keys(SHOWS) as Show[]).map((show) => (
          <button key={show} type="button" aria-pressed={view.show === show} onClick={() => onChange({ show })}>
            {SHOWS[show].words}
          </button>
        ))}
      </div>
    </>
  );
}

interface LabelFilterProps {
  labels: readonly string[];
  onChange: (labels: readonly string[]) => void;
}

/** Narrows the list to clients that have all of these labels. */
function LabelFilter({ labels, onChange }: LabelFilterProps) {
  const [typed, setTyped] = useState("");
  const [refused, setRefused] = useState(false);
  const id = useId();
  const add = () => {
    const label = typed.trim();
    if (label === "") return;
    setRefused(!isLabel(label));
    if (!isLabel(label)) return;
    setTyped("");
    if (!labels.includes(label)) onChange([...labels, label]);
  };
  return (
    <>
      <input
        class="label-box"
        type="text"
        aria-label="Label"
        aria-invalid={refused}
        aria-describedby={refused ? `${id}-error` : undefined}
        placeholder="Label: key=value"
        value={typed}
        autocomplete="off"
        spellcheck={false}
        disabled={labels.length >= MAX_LABELS}
        onInput={(event) => {
          setTyped(event.currentTarget.value);
          setRefused(false);
        }}
        onKeyDown={(event) => event.key === "Enter" && add()}
        onBlur={add}
      />
      {refused && (
        <p class="error" id={`${id}-error`} role="alert">
          A label is key=value, without spaces, such as team=payments.
        </p>
      )}
      {labels.map((label) => (
        <button
          key={label}
          type="button"
          class="chip label"
          onClick={() => onChange(labels.filter((each) => each !== label))}
        >
          {label}
          <Icon name="stop" />
          <span class="hidden">: remove this filter</span>
        </button>
      ))}
    </>
  );
}
