/** Is somebody there? Asking for nobody would keep a forgotten window signed in for ever. */

const UNATTENDED_AFTER = 5 * 60 * 1000;

let lastSeen = Date.now();
const seen = () => {
  lastSeen = Date.now();
};

for (const sign of ["pointerdown", "pointermove", "keydown", "wheel", "focus"]) {
  addEventListener(sign, seen, { passive: true, capture: true });
}

export function isAttended(): boolean {
  return document.visibilityState === "visible" && Date.now() - lastSeen < UNATTENDED_AFTER;
}
