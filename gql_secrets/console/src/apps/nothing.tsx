/** Why the list is empty, and what would be in it. */

import { CreateDialog } from "../dialogs/create";
import type { Viewer } from "../graphql/queries";
import type { ListView, Show } from "../lib/listView";
import { APPS_ADDRESS } from "../lib/router";
import { Button, Empty } from "../ui/basics";
import { openDialog } from "../ui/dialog";

const EMPTY: Readonly<Record<Show, { title: string; why: string }>> = {
  "in-rollover": {
    title: "No rollover is in progress",
    why: "After a smooth reset, clients appear here until their old secret expires.",
  },
  "locked-out": {
    title: "Nobody is locked out",
    why: "No secret that has ended was tried in the last 24 hours.",
  },
  "ending-soon": {
    title: "No source is about to be locked out",
    why: "No old secret that is still used ends within 24 hours.",
  },
  "safe-to-revoke": {
    title: "Nothing to revoke yet",
    why: "Clients appear here when the new secret is in use and the old one has been quiet.",
  },
  waiting: { title: "No rollover is waiting", why: "Every rollover in progress is safe to revoke, or there is none." },
  "due-for-rotation": {
    title: "No secret is due for rotation",
    why: "No secret has reached its maximum age, or 90 days without one.",
  },
  "never-used": { title: "Every client has been used", why: "A secret of each client was used at least once." },
  disabled: { title: "No client is disabled", why: "The secrets of a disabled client are refused." },
};

export function Nothing({ view, viewer, page }: { view: ListView; viewer: Viewer; page: number }) {
  const { search, show, feature, labels } = view;
  const narrowed = feature !== null || labels.length > 0;
  if (page > 0) return <Empty title="This page is empty" />;
  if (search.trim()) {
    return (
      <Empty title={`No results for “${search}”${show || narrowed ? " with these filters" : ""}`}>
        {search.trim().length < 3 && <p>One or two characters find only words that begin with them.</p>}
        <p>
          <a href={APPS_ADDRESS}>Show all clients</a>
        </p>
      </Empty>
    );
  }
  if (show || narrowed) {
    const { title, why } =
      show && !narrowed ? EMPTY[show] : { title: "No client matches these filters", why: "Try fewer filters." };
    return (
      <Empty title={title}>
        <p>{why}</p>
        <p>
          <a href={APPS_ADDRESS}>Show all clients</a>
        </p>
      </Empty>
    );
  }
  return (
    <Empty title="No clients yet">
      {viewer.canCreateClient ? (
        <p>
          <Button kind="primary" onClick={() => openDialog((close) => <CreateDialog close={close} />)}>
            Create your first client
          </Button>
        </p>
      ) : (
        <p>An administrator can create the first one.</p>
      )}
    </Empty>
  );
}
