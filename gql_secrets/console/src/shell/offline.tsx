/** Shown when the page may be outdated. */

import { useEffect, useState } from "preact/hooks";
import { Icon } from "../ui/icons";

export function OfflineBanner() {
  const [online, setOnline] = useState(navigator.onLine);
  useEffect(() => {
    const follow = () => setOnline(navigator.onLine);
    addEventListener("online", follow);
    addEventListener("offline", follow);
    return () => {
      removeEventListener("online", follow);
      removeEventListener("offline", follow);
    };
  }, []);
  return (
    <div role="status">
      {!online && (
        <p class="banner">
          <Icon name="warn" />
          You are offline. This page may be outdated; it is refreshed as soon as the network is back.
        </p>
      )}
    </div>
  );
}
