/** Time as the server has it: a countdown on a laptop with a wrong clock must still be right. */

import { useEffect, useState } from "preact/hooks";

let offset = 0;
let bestRoundTrip = Number.POSITIVE_INFINITY;

/** Learn from an answer how far this machine's clock is off; the fastest answer knows best. */
export function learnServerTime(serverTime: string, askedAt: number, answeredAt: number): void {
  const roundTrip = answeredAt - askedAt;
  const told = Date.parse(serverTime) - (askedAt + roundTrip / 2);
  // A large difference means that this clock was set meanwhile: then the latest answer counts.
  if (roundTrip > bestRoundTrip && Math.abs(told - offset) < 2000) return;
  bestRoundTrip = roundTrip;
  offset = told;
}

export function serverNow(): number {
  return Date.now() + offset;
}

const watchers = new Set<() => void>();
let ticker: ReturnType<typeof setInterval> | undefined;

/** The server's time now, told anew every second. */
export function useNow(): number {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    const tick = () => setNow(serverNow());
    watchers.add(tick);
    ticker ??= setInterval(() => watchers.forEach((watcher) => watcher()), 1000);
    return () => {
      watchers.delete(tick);
      if (watchers.size > 0) return;
      clearInterval(ticker);
      ticker = undefined;
    };
  }, []);
  return now;
}
