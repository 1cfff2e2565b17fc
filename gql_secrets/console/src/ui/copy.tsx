/** A button that copies, and announces it to screen readers too. */

import { useEffect, useState } from "preact/hooks";
import { copyText } from "../lib/clipboard";
import { Button } from "./basics";

const SHOWN_FOR = 4000;

interface CopyProps {
  text: string;
  label: string;
  kind?: "primary" | "plain" | "quiet";
  onCopied?: () => void;
  autoFocus?: boolean;
}

export function CopyButton({ text, label, kind = "quiet", onCopied, autoFocus = false }: CopyProps) {
  const [outcome, setOutcome] = useState<string | null>(null);
  useEffect(() => {
    if (!outcome) return undefined;
    const timer = setTimeout(() => setOutcome(null), SHOWN_FOR);
    return () => clearTimeout(timer);
  }, [outcome]);
  const copy = async () => {
    const copied = await copyText(text);
    setOutcome(copied ? "Copied" : "Could not copy: select the text and copy it");
    if (copied) onCopied?.();
  };
  return (
    <span class="copy">
      <Button
        kind={kind}
        icon={outcome === "Copied" ? "check" : "copy"}
        autoFocus={autoFocus}
        onClick={() => void copy()}
      >
        {label}
      </Button>
      <span class="said" role="status">
        {outcome}
      </span>
    </span>
  );
}
