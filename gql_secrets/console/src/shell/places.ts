/** The pages that a viewer can go to. */

import type { Viewer } from "../graphql/queries";
import {
  ACTIVITY_ADDRESS,
  APPS_ADDRESS,
  OVERVIEW_ADDRESS,
  PEOPLE_ADDRESS,
  type Route,
  WEBHOOKS_ADDRESS,
} from "../lib/router";

export interface Place {
  readonly words: string;
  readonly address: string;
  /** The pages on which the navigation marks this place. */
  readonly pages: readonly Route["page"][];
}

export function placesFor(viewer: Viewer): readonly Place[] {
  const forAdmin: readonly Place[] = [
    { words: "Activity", address: ACTIVITY_ADDRESS, pages: ["activity"] },
    { words: "People & sessions", address: PEOPLE_ADDRESS, pages: ["people"] },
    { words: "Webhooks", address: WEBHOOKS_ADDRESS, pages: ["webhooks"] },
  ];
  return [
    { words: "Overview", address: OVERVIEW_ADDRESS, pages: ["overview"] },
    { words: "Authorized Apps", address: APPS_ADDRESS, pages: ["apps", "client"] },
    ...(viewer.roles.includes("ADMIN") ? forAdmin : []),
    { words: "Explorer", address: "/graphql", pages: [] },
  ];
}
