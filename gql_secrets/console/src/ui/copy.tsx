/** A button that copies, and says so to everybody. */

import { useEffect, useState } from "preact/hooks";
import { copyText } from "../lib/clipboard";
import { Button } from "./basics";

interface CopyProps {
  text: string;
  label: string;
  kind?: "primary" | "plain" | "quiet";
  onCopied?: () => void;
}

export function CopyButton({ text, label, kind = "quiet", onCopied }: CopyProps) {
  const [said, setSaid] = useState<string | null>(null);
  useEffect(() => {
    if (!said) return undefined;
    const timer = setTimeout(() => setSaid(null), 4000);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => {
    const copied = await copyText(text);
    setSaid(copied ? "Copied" : "Select and copy it by hand");
    if (copied) onCopied?.();
  };
  return (
    <span class="copy">
      <Button kind={kind} icon={said === "Copied" ? "check" : "copy"} onClick={() => void copy()}>
        {label}
      </Button>
      <span class="said" role="status">
        {said}
      </span>
    </span>
  );
}
