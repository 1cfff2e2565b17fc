/** What narrows and orders the list: the search box, the filters, the feature and the order. */

import type { Feature } from "../graphql/queries";
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
