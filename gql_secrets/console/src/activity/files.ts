/** Events as files. */

import type { ActivityEntry } from "../graphql/queries";

const COLUMNS = [
  "at",
  "revision",
  "action",
  "actor",
  "actorName",
  "clientId",
  "surface",
  "address",
  "requestId",
  "hoursToLive",
  "expiresAt",
  "editedFields",
  "reason",
] as const;

export const asJsonLines = (events: readonly ActivityEntry[]): string =>
  events.map((event) => `${JSON.stringify(event)}\n`).join("");

/** RFC 4180, with a first row of names. */
export const asCsv = (events: readonly ActivityEntry[]): string =>
  [COLUMNS, ...events.map((event) => COLUMNS.map((column) => event[column]))]
    .map((row) => `${row.map(cell).join(",")}\r\n`)
    .join("");

function cell(value: unknown): string {
  const text = Array.isArray(value) ? value.join(" ") : String(value ?? "");
  // A spreadsheet would run a text that begins like this as a formula.
  const harmless = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
