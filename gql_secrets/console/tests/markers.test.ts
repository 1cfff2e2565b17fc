import assert from "node:assert/strict";
import { test } from "node:test";
import { rowsOf } from "../src/client/markers";

test("labels of neighbours are in separate rows, and a row is used again further on", () => {
  assert.deepEqual(rowsOf([100, 184, 281]), [0, 1, 0]);
  assert.deepEqual(rowsOf([100, 120, 140]), [0, 1, 2]);
  assert.deepEqual(rowsOf([100, 400, 700]), [0, 0, 0]);
  assert.deepEqual(rowsOf([]), []);
});
