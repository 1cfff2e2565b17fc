/** Whether somebody is using this window. Polling in a forgotten window would keep it signed in permanently. */

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
