/** An operation is handed from the console to the explorer in the fragment, which no server receives. */

export interface Operation {
  readonly query: string;
  readonly variables: string;
}

/** The explorer's address with this operation filled in. It must never contain a secret: browsers keep addresses. */
export function addressOf(query: string, variables: Readonly<Record<string, unknown>>): string {
  const fragment = new URLSearchParams({ query, variables: JSON.stringify(variables, null, 2) });
  return `/graphql#${fragment.toString()}`;
}

export function operationFromAddress(hash: string): Operation | null {
  const fragment = new URLSearchParams(hash.replace(/^#/, ""));
  const query = fragment.get("query");
  return query ? { query, variables: fragment.get("variables") ?? "" } : null;
}
