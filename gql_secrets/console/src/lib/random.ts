/** A unique key for one dialog: with it, a retry is not a second reset. */
export function newIdempotencyKey(): string {
  if ("randomUUID" in crypto) return crypto.randomUUID();
  // Over plain http a browser has no randomUUID, but always has this.
  const bytes = (crypto as Crypto).getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
