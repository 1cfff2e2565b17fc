/** Where the labels of a chart's markers go. */

/** The widest label, and the line that it belongs to. */
export const MARKER_WIDTH = 150;
const ROWS = 3;

/** Labels of markers that are close together go into separate rows: each takes the first that is free. */
export function rowsOf(places: readonly number[]): readonly number[] {
  const rows: number[] = [];
  for (const [index, place] of places.entries()) {
    const near = rows.filter((_, before) => before < index && Math.abs((places[before] ?? 0) - place) < MARKER_WIDTH);
    const free = Array.from({ length: ROWS }, (_, row) => row).find((row) => !near.includes(row));
    rows.push(free ?? near.length % ROWS);
  }
  return rows;
}
