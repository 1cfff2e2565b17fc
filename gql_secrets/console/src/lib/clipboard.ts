/** Copying and downloading; neither leaves this machine. */

/** Return whether the text is now in the clipboard. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // over plain http a browser offers no clipboard
  }
}

function copyBySelection(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  // A modal dialog makes everything outside of itself inert, a helper there could not be selected.
  const host = document.querySelector("dialog[open]") ?? document.body;
  host.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

export function download(fileName: string, content: string, type: string): void {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = fileName;
  link.click();
  // The browser reads the blob after the click; a minute is plenty, and then it is gone.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
