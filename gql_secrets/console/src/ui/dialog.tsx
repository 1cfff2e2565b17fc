/** Modal dialogs, by the browser's own <dialog>; they outlive the page that opened them. */

import type { ComponentChildren, VNode } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { createStore, useStore } from "../lib/store";

const opened = createStore<{ readonly key: number; readonly content: VNode } | null>(null);
let count = 0;
let toHeading = false;

/** What opened the dialog may be gone once its change is made: then the page's heading is the place to go on from. */
export function returnToHeading(): void {
  toHeading = true;
}

/** Show a dialog; what it holds says when it is done by calling `close`. */
export function openDialog(content: (close: () => void) => VNode): void {
  count += 1;
  const key = count;
  opened.set({ key, content: content(() => opened.get()?.key === key && opened.set(null)) });
}

/** The one place where dialogs are drawn: a page that goes away must not take a new secret with it. */
export function DialogHost() {
  const dialog = useStore(opened);
  return dialog && <div key={dialog.key}>{dialog.content}</div>;
}

interface DialogProps {
  title: string;
  children: ComponentChildren;
  /** Asked for by Escape; a dialog that must ask first simply does not close. */
  onDismiss: () => void;
  /** The browser closed it without asking, as it may when Escape is pressed twice. */
  onForced?: () => void;
}

export function Dialog({ title, children, onDismiss, onForced }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();

  useLayoutEffect(() => {
    const dialog = element.current;
    if (!dialog) return undefined;
    const opener = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close();
      const stays = opener instanceof HTMLElement && opener.isConnected && opener !== document.body && !toHeading;
      (stays ? opener : document.querySelector<HTMLElement>("h1"))?.focus();
      toHeading = false;
    };
  }, []);

  return (
    <dialog
      ref={element}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onDismiss();
      }}
      onClose={() => (onForced ?? onDismiss)()}
    >
      <h2 id={id} class="dialog-title">
        {title}
      </h2>
      {children}
    </dialog>
  );
}

/** The row of buttons at the end of a dialog. */
export function DialogFoot({ children }: { children: ComponentChildren }) {
  return <footer class="dialog-foot">{children}</footer>;
}
