import type { initGraphQLTada } from "gql.tada";
import type { introspection } from "./schema";

type Tada = initGraphQLTada<{
  introspection: introspection;
  scalars: { DateTime: string };
}>;

interface Document { readonly text: string }

export const graphql = ((text: string, fragments: readonly Document[] = []) =>
  ({ text: [text, ...fragments.map((fragment) => fragment.text)].join("\n") })) as unknown as Tada;
