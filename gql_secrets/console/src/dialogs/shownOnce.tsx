/** A secret that is shown once: closing its dialog or the page before it was copied asks first. */

import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Button } from "../ui/basics";
import { DialogFoot, useKeptOpen } from "../ui/dialog";
import { Note } from "../ui/notes";

interface ShownOnce<E extends HTMLElement> {
  /** The element with the button that copies the secret. */
  readonly copy: RefObject<E | null>;
  readonly taken: boolean;
  readonly asking: boolean;
  readonly take: () => void;
  readonly goBack: () => void;
  readonly dismiss: () => void;
  readonly close: () => void;
}

export function useShownOnce<E extends HTMLElement>(close: () => void, anything = true): ShownOnce<E> {
  const [taken, setTaken] = useState(!anything);
  const [asking, setAsking] = useState(false);
  const copy = useRef<E>(null);
  useKeptOpen(true);
  useEffect(() => {
    if (taken) return undefined;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [taken]);
  const take = () => {
    setTaken(true);
    setAsking(false);
  };
  const goBack = () => {
    setAsking(false);
    copy.current?.querySelector("button")?.focus();
  };
  const dismiss = () => (taken ? close() : asking ? goBack() : setAsking(true));
  return { copy, taken, asking, take, goBack, dismiss, close };
}

interface FootProps {
  once: ShownOnce<HTMLElement>;
  /** What the secret is called. */
  name: string;
  /** What must be done if nobody has it. */
  loss: string;
}

/** The end of the dialog: the question, and the button that closes. */
export function ShownOnceFoot({ once, name, loss }: FootProps) {
  const question = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (once.asking) question.current?.querySelector("button")?.focus();
  }, [once.asking]);
  return (
    <>
      {once.asking && (
        <div ref={question} role="alert">
          <Note tone="warn" title={`You have not copied the ${name}.`}>
            <p>After you close this dialog, nobody can read it again; you would have to {loss}.</p>
            <div class="note-actions">
              <Button onClick={once.goBack}>Go back</Button>
              <Button kind="danger" onClick={once.close}>
                Close without copying
              </Button>
            </div>
          </Note>
        </div>
      )}
      <DialogFoot>
        <Button kind={once.taken ? "primary" : "plain"} onClick={once.dismiss} disabled={once.asking}>
          Done
        </Button>
      </DialogFoot>
    </>
  );
}
