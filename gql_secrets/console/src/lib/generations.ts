/** The generation of each client that this window changed: its own change counts before the page has read it again. */

interface Versioned {
  readonly clientId: string;
  readonly generation: number;
}

const made = new Map<string, number>();

export function rememberGeneration({ clientId, generation }: Versioned): void {
  made.set(clientId, generation);
}

/** What a change of this client is based on: what the page shows, and what this window did to it since. */
export const generationSeen = ({ clientId, generation }: Versioned): number =>
  Math.max(generation, made.get(clientId) ?? 0);
