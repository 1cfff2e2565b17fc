/** Modal dialogs, by the browser's own <dialog>; they are drawn outside of the page that opened them. */

import type { ComponentChildren, VNode } from "preact";
import { useEffect, useId, useLayoutEffect, useRef } from "preact/hooks";
import { createStore, useStore } from "../lib/store";

const opened = createStore<{ readonly key: number; readonly content: VNode } | null>(null);
let count = 0;
let toHeading = false;
let kept = 0;

/** The button that opened the dialog may be gone after the change: then the focus goes to the page's heading. */
export function returnToHeading(): void {
  toHeading = true;
}

/**
 * Show a dialog; its content calls `close` when it is done. One that is open stays: it may hold a new secret, and what
 * comes late, after an answer of the server, must not replace it.
 */
export function openDialog(content: (close: () => void) => VNode): void {
  if (opened.get()) return;
  count += 1;
  const key = count;
  opened.set({ key, content: content(() => opened.get()?.key === key && opened.set(null)) });
}

/** The page behind the dialog is gone: so is the dialog, unless it holds what cannot be had again. */
export function closeUnlessKept(): void {
  if (kept === 0) opened.set(null);
}

/** Whether a dialog holds what cannot be had again. */
export const isSomethingKept = (): boolean => kept > 0;

/** While `keep` is true the dialog outlives its page: it shows a new secret, or a change is under way. */
export function useKeptOpen(keep: boolean): void {
  useEffect(() => {
    if (!keep) return undefined;
    kept += 1;
    return () => {
      kept -= 1;
    };
  }, [keep]);
}

/** The sign-in has ended: the page behind says so, and what to do. */
export function useClosedBySignOut(failure: { readonly kind: string } | null, close: () => void): void {
  const signedOut = failure?.kind === "signed-out";
  useEffect(() => {
    if (signedOut) close();
  }, [signedOut]);
}

/** The one place where dialogs are drawn. */
export function DialogHost() {
  const dialog = useStore(opened);
  return dialog && <div key={dialog.key}>{dialog.content}</div>;
}

interface DialogProps {
  title: string;
  kind?: "plain" | "palette";
  children: ComponentChildren;
  /** Called on Escape; a dialog that must ask first stays open. */
  onDismiss: () => void;
}

export function Dialog({ title, kind = "plain", children, onDismiss }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const gone = useRef(false);
  const id = useId();

  useLayoutEffect(() => {
    const dialog = element.current;
    if (!dialog) return undefined;
    const opener = document.activeElement;
    gone.current = false;
    dialog.showModal();
    dialog.scrollTop = 0; // the focus may be on a button at its foot, but it is read from its head
    return () => {
      gone.current = true;
      dialog.close();
      const stays = opener instanceof HTMLElement && opener.isConnected && opener !== document.body && !toHeading;
      (stays ? opener : document.querySelector<HTMLElement>("h1"))?.focus();
      toHeading = false;
    };
  }, []);

  // A browser may close the dialog without asking, for instance by a gesture.
  const closedByBrowser = () => {
    if (gone.current) return;
    onDismiss();
    setTimeout(() => gone.current || element.current?.open || element.current?.showModal());
  };

  return (
    <dialog
      ref={element}
      class={kind}
      aria-labelledby={id}
      onKeyDown={(event) => guardKey(event, onDismiss)}
      onCancel={(event) => {
        event.preventDefault();
        onDismiss();
      }}
      onClose={closedByBrowser}
    >
      <h2 id={id} class={kind === "palette" ? "hidden" : "dialog-title"}>
        {title}
      </h2>
      {children}
    </dialog>
  );
}

function guardKey(event: KeyboardEvent, onDismiss: () => void): void {
  const onCheckbox = event.target instanceof HTMLInputElement && event.target.type === "checkbox";
  if (event.key === "Escape") {
    // Left to the browser, a second Escape closes a dialog without asking it.
    event.preventDefault();
    if (!event.repeat) onDismiss();
  } else if (event.key === "Enter" && (event.repeat || onCheckbox)) {
    // A key that is held down decides nothing, and Enter on a switch is not a decision about the whole form.
    event.preventDefault();
  } else if (event.key === " " && event.repeat && event.target instanceof HTMLButtonElement) {
    event.preventDefault();
  }
}

/** The row of buttons at the end of a dialog. */
export function DialogFoot({ children }: { children: ComponentChildren }) {
  return <footer class="dialog-foot">{children}</footer>;
}
