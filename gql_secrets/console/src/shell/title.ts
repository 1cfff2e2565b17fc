import { useEffect } from "preact/hooks";

/** Name the window after what it shows, and lead keyboards and screen readers to it. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · gql-secrets`;
  }, [title]);
}
