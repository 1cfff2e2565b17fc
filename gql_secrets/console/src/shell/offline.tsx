/** Says so when what is shown may be old. */

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
          You are offline. What you see was read before; it will be read again as soon as the network is back.
        </p>
      )}
    </div>
  );
}
