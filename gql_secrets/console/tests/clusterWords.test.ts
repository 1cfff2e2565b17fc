import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterNode } from "../src/graphql/adminQueries";
import { isAnyBehind, summarizeCluster } from "../src/lib/clusterWords";

const node = (id: string, given: Partial<ClusterNode> = {}): ClusterNode => ({ id, lease: "HELD", lag: 0, ...given });

test("a single node has nothing to say", () => {
  assert.equal(summarizeCluster([]), null);
  assert.equal(summarizeCluster([node("a", { lease: "NOT_NEEDED", lag: null })]), null);
});

test("nodes that follow every change, or read the database, are current", () => {
  const nodes = [node("a"), node("b", { lease: "NOT_NEEDED", lag: null }), node("c")];
  assert.deepEqual(summarizeCluster(nodes), { words: "3 nodes, all current", isTrouble: false });
  assert.equal(isAnyBehind(nodes), false);
});

test("a node that is behind in two answers in a row is named", () => {
  const first = [node("a"), node("b", { lag: 1 }), node("c")];
  assert.deepEqual(summarizeCluster(first), { words: "3 nodes", isTrouble: false });
  assert.equal(isAnyBehind(first), true);
  const second = [node("a"), node("b", { lag: 12 }), node("c", { lease: "EXPIRED", lag: 12 })];
  assert.deepEqual(summarizeCluster(second, first), { words: "3 nodes: b is 12 changes behind", isTrouble: true });
  assert.deepEqual(summarizeCluster(second, second), {
    words: "3 nodes: b is 12 changes behind, c holds no lease",
    isTrouble: true,
  });
});

test("a node is named only while it lags", () => {
  const behind = [node("a"), node("b", { lag: 3 })];
  assert.equal(summarizeCluster([node("a"), node("b")], behind)?.words, "2 nodes, all current");
});
