/** Monaco's workers, bundled with this page and served from our own origin. */

type Label = "editor" | "json" | "graphql";

/** The page names their addresses, which are known only when they are bundled. */
const ADDRESSES = JSON.parse(document.getElementById("explorer")!.dataset.workers!) as Readonly<Record<Label, string>>;

Object.assign(globalThis, {
  MonacoEnvironment: {
    getWorker(_id: string, label: string): Worker {
      const known = Object.hasOwn(ADDRESSES, label) ? (label as Label) : "editor";
      return new Worker(ADDRESSES[known], { name: label, type: "module" });
    },
  },
});

export {};
