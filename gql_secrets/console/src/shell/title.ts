import { useEffect } from "preact/hooks";

/** Name the window after the page that it shows. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · gql-secrets`;
  }, [title]);
}
