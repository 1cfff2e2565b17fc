/** The generation of each client that this window changed, before the page has read it again. */

interface Versioned {
  readonly clientId: string;
  readonly generation: number;
}

const made = new Map<string, number>();

export function rememberGeneration({ clientId, generation }: Versioned): void {
  made.set(clientId, generation);
}

/** The generation that a change is based on: what the page shows, or what this window has done since. */
export const generationSeen = ({ clientId, generation }: Versioned): number =>
  Math.max(generation, made.get(clientId) ?? 0);
