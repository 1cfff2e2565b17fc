/** Monaco's workers, bundled with this page and served from our own origin. */

declare const MONACO_WORKERS: Readonly<Record<"editor" | "json" | "graphql", string>>;

type Label = keyof typeof MONACO_WORKERS;

Object.assign(globalThis, {
  MonacoEnvironment: {
    getWorker(_id: string, label: string): Worker {
      const known = label in MONACO_WORKERS ? (label as Label) : "editor";
      return new Worker(MONACO_WORKERS[known], { name: label });
    },
  },
});

export {};
