/**
 * Typed GraphQL documents: `gql.tada` reads their types out of the repository's schema, and at run
 * time a document is only its text.
 */

import type { initGraphQLTada, TadaDocumentNode } from "gql.tada";
import type { introspection } from "./schema";

type Tada = initGraphQLTada<{
  introspection: introspection;
  disableMasking: true;
  scalars: { DateTime: string };
}>;

/** What `graphql` returns, for any document. */
export type Document<Result, Variables> = TadaDocumentNode<Result, Variables, unknown>;

interface Text {
  readonly own: string;
  readonly fragments: readonly Text[];
}

const compose = (text: string, fragments: readonly Text[] = []): Text => ({ own: outdented(text), fragments });

export const graphql = compose as unknown as Tada;

/** The operation and its fragments, each once. */
export function textOf(document: object): string {
  const all = (text: Text): Text[] => [text, ...text.fragments.flatMap(all)];
  return [...new Set(all(document as Text))].map((text) => text.own).join("\n\n");
}

/** A document is written indented among its neighbours and read, in the explorer, at the margin. */
function outdented(text: string): string {
  const lines = text.replace(/^\n|\s+$/g, "").split("\n");
  const margin = Math.min(...lines.filter((line) => line.trim()).map((line) => line.search(/\S/)));
  return lines.map((line) => line.slice(margin)).join("\n");
}
