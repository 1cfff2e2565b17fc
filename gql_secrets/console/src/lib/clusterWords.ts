/** One sentence about the nodes of an installation. */

import type { ClusterNode } from "../graphql/adminQueries";
import { plural } from "./format";

export interface ClusterSummary {
  readonly words: string;
  readonly isTrouble: boolean;
}

/**
 * Null on a single node, which has nothing to follow.
 *
 * Every node is behind for an instant after a change: only one that was behind in the answer before too is named.
 */
export function summarizeCluster(
  nodes: readonly ClusterNode[],
  before: readonly ClusterNode[] = [],
): ClusterSummary | null {
  if (nodes.length < 2) return null;
  const count = plural(nodes.length, "node");
  const behind = nodes.filter((node) => troubleOf(node));
  if (behind.length === 0) return { words: `${count}, all current`, isTrouble: false };
  const wereBehind = new Set(before.filter((node) => troubleOf(node)).map(({ id }) => id));
  const named = behind.filter(({ id }) => wereBehind.has(id));
  if (named.length === 0) return { words: count, isTrouble: false };
  return { words: `${count}: ${named.map((node) => `${node.id} ${troubleOf(node)}`).join(", ")}`, isTrouble: true };
}

/** Whether some node is behind, so that the next answer is worth asking for sooner. */
export const isAnyBehind = (nodes: readonly ClusterNode[]): boolean => nodes.some((node) => troubleOf(node) !== null);

function troubleOf({ lease, lag }: ClusterNode): string | null {
  if (lease === "EXPIRED") return "holds no lease";
  return lag ? `is ${plural(lag, "change")} behind` : null;
}
