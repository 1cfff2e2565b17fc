/** Instants as the API writes them. Their texts do not sort by time: the API leaves out a fraction of 0. */

type Instants = readonly (string | null)[];

/** The earliest of them; null if there is none. */
export const earliest = (instants: Instants): string | null => inOrder(instants)[0] ?? null;

/** The latest of them; null if there is none. */
export const latest = (instants: Instants): string | null => inOrder(instants).at(-1) ?? null;

const inOrder = (instants: Instants): string[] =>
  instants.filter((each) => each !== null).sort((one, other) => Date.parse(one) - Date.parse(other));
