/** The server's time: a countdown must be right on a laptop with a wrong clock too. */

import { useEffect, useState } from "preact/hooks";

let offset = 0;
let bestRoundTrip = Number.POSITIVE_INFINITY;

/** Learn from a response how far this machine's clock is off; the fastest response is the most exact. */
export function learnServerTime(serverTime: string, askedAt: number, answeredAt: number): void {
  const roundTrip = answeredAt - askedAt;
  const found = Date.parse(serverTime) - (askedAt + roundTrip / 2);
  // A large difference means that this clock was set in between: then the latest response counts.
  if (roundTrip > bestRoundTrip && Math.abs(found - offset) < 2000) return;
  bestRoundTrip = roundTrip;
  offset = found;
}

export function serverNow(): number {
  return Date.now() + offset;
}

const watchers = new Set<() => void>();
let ticker: ReturnType<typeof setInterval> | undefined;

function tellWatchers(): void {
  for (const watcher of [...watchers]) watcher();
}

/** The server's time, updated every second. */
export function useNow(): number {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    const tick = () => setNow(serverNow());
    watchers.add(tick);
    ticker ??= setInterval(tellWatchers, 1000);
    return () => {
      watchers.delete(tick);
      if (watchers.size > 0) return;
      clearInterval(ticker);
      ticker = undefined;
    };
  }, []);
  return now;
}
