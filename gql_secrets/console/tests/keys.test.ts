import assert from "node:assert/strict";
import { test } from "node:test";
import { shortcutOf } from "../src/lib/keys";

const plain = { key: "", ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, repeat: false };
const reading = { typing: false, singleKeys: true };

test("the palette opens with either modifier, from a field too, and never from a key that is held", () => {
  for (const modifier of ["ctrlKey", "metaKey"]) {
    const pressed = { ...plain, key: "k", [modifier]: true };
    assert.equal(shortcutOf(pressed, reading), "palette");
    assert.equal(shortcutOf(pressed, { typing: true, singleKeys: false }), "palette");
    assert.equal(shortcutOf({ ...pressed, repeat: true }, reading), null);
  }
  assert.equal(shortcutOf({ ...plain, key: "k" }, reading), null);
});

test("single characters mean something only where nobody types, and can be turned off", () => {
  assert.equal(shortcutOf({ ...plain, key: "/" }, reading), "search");
  assert.equal(shortcutOf({ ...plain, key: "?", shiftKey: true }, reading), "help");
  for (const key of ["/", "?"]) {
    assert.equal(shortcutOf({ ...plain, key }, { typing: true, singleKeys: true }), null);
    assert.equal(shortcutOf({ ...plain, key }, { typing: false, singleKeys: false }), null);
    assert.equal(shortcutOf({ ...plain, key, ctrlKey: true }, reading), null);
  }
});
