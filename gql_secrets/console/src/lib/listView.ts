/** What the list of clients shows: which clients, in which order. All of it is in the address, so it can be shared. */

import type { Feature } from "../graphql/queries";
import { isLabel, MAX_LABELS } from "./labels";

/** The filters of the list, by their names in the address; each is a field of the API's `ClientFilter`. */
export const SHOWS = {
  "in-rollover": { words: "In rollover", filter: "inRollover" },
  "locked-out": { words: "Locked out", filter: "lockedOut" },
  "ending-soon": { words: "Ending soon", filter: "endingSoon" },
  "safe-to-revoke": { words: "Safe to revoke", filter: "safeToRevoke" },
  waiting: { words: "Waiting", filter: "waiting" },
  "due-for-rotation": { words: "Due for rotation", filter: "dueForRotation" },
  "never-used": { words: "Never used", filter: "neverUsed" },
  disabled: { words: "Disabled", filter: "disabled" },
} as const;
export type Show = keyof typeof SHOWS;

/** The orders of the list, by their names in the address. */
export const SORTS = {
  newest: { words: "Newest first", field: "CREATED_AT", direction: "DESC" },
  oldest: { words: "Oldest first", field: "CREATED_AT", direction: "ASC" },
  name: { words: "Name, A to Z", field: "NAME", direction: "ASC" },
  "name-desc": { words: "Name, Z to A", field: "NAME", direction: "DESC" },
  "secret-age-desc": { words: "Oldest secret first", field: "SECRET_AGE", direction: "DESC" },
  "secret-age": { words: "Newest secret first", field: "SECRET_AGE", direction: "ASC" },
  "last-used-desc": { words: "Last used first", field: "LAST_USED_AT", direction: "DESC" },
  "last-used": { words: "Longest unused first", field: "LAST_USED_AT", direction: "ASC" },
  "rollover-end": { words: "Rollover ends first", field: "ROLLOVER_END", direction: "ASC" },
  "rollover-end-desc": { words: "Rollover ends last", field: "ROLLOVER_END", direction: "DESC" },
} as const;
export type Sort = keyof typeof SORTS;

export interface ListView {
  readonly show: Show | null;
  readonly feature: Feature | null;
  /** All of them must be there. */
  readonly labels: readonly string[];
  readonly search: string;
  readonly sort: Sort;
}

export const EVERY_CLIENT: ListView = { show: null, feature: null, labels: [], search: "", sort: "newest" };

const isKey = <Key extends string>(keys: Readonly<Record<Key, unknown>>, text: string | null): text is Key =>
  text !== null && Object.hasOwn(keys, text);

/** Read the part of the address after "?"; what is unknown there is ignored. */
export function parseListView(text: string): ListView {
  const given = new URLSearchParams(text);
  const [show, feature, sort] = [given.get("show"), given.get("feature"), given.get("sort")];
  return {
    show: isKey(SHOWS, show) ? show : null,
    feature: feature && /^[a-z_]+$/.test(feature) ? (feature.toUpperCase() as Feature) : null,
    labels: given.getAll("label").filter(isLabel).slice(0, MAX_LABELS),
    search: given.get("search") ?? "",
    sort: isKey(SORTS, sort) ? sort : EVERY_CLIENT.sort,
  };
}

/** The part of the address after "?", with nothing that is as usual. */
export function writeListView({ show, feature, labels, search, sort }: ListView): string {
  const written = new URLSearchParams();
  if (show) written.set("show", show);
  if (feature) written.set("feature", feature.toLowerCase());
  for (const label of labels) written.append("label", label);
  if (search) written.set("search", search);
  if (sort !== EVERY_CLIENT.sort) written.set("sort", sort);
  return written.toString();
}

/** The view as arguments of the API's `clients`. */
export const listArguments = ({ show, feature, labels, search, sort }: ListView) => ({
  search: search.trim() || null,
  filter:
    show || feature || labels.length > 0
      ? {
          ...(show && { [SHOWS[show].filter]: true }),
          ...(feature && { feature }),
          ...(labels.length > 0 && { labels: [...labels] }),
        }
      : null,
  orderBy: sort === EVERY_CLIENT.sort ? null : { field: SORTS[sort].field, direction: SORTS[sort].direction },
});
