/** What the home page reads. */

import type { ResultOf } from "gql.tada";
import { graphql } from "./graphql";
import { CLIENT_FIELDS, EVENT } from "./queries";

/** The home page in one request: the counts, the first clients behind them, and what happened last (`$activity`). */
export const OVERVIEW = graphql(
  `
    query Overview($activity: Boolean!) {
      serverTime
      overview {
        lockedOut
        endingSoon
        safeToRevoke
        waiting
        dueForRotation
        neverUsed
        total
      }
      lockedOut: clients(first: 3, filter: { lockedOut: true }) {
        nodes {
          id
          clientId
          name
          secrets(first: 20) { nodes { endedAt refusedAttempts lastRefusedAt } }
        }
      }
      endingSoon: clients(first: 3, filter: { endingSoon: true }, orderBy: { field: ROLLOVER_END, direction: ASC }) {
        nodes { ...ClientFields }
      }
      safeToRevoke: clients(first: 3, filter: { safeToRevoke: true }, orderBy: { field: ROLLOVER_END, direction: ASC }) {
        nodes { ...ClientFields }
      }
      waiting: clients(first: 6, filter: { waiting: true }, orderBy: { field: ROLLOVER_END, direction: ASC }) {
        nodes { ...ClientFields }
      }
      auditEvents(first: 8) @include(if: $activity) {
        nodes { ...Event }
      }
    }
  `,
  [CLIENT_FIELDS, EVENT],
);

export type OverviewView = ResultOf<typeof OVERVIEW>;
export type LockedOutClient = NonNullable<OverviewView["lockedOut"]>["nodes"][number];

/** The old secrets that are safe to revoke, to revoke them together: as many as one request may change. */
export const SAFE_TO_REVOKE = graphql(`
  query SafeToRevoke {
    serverTime
    clients(first: 100, filter: { safeToRevoke: true }, orderBy: { field: ROLLOVER_END, direction: ASC }) {
      totalCount
      nodes {
        clientId
        name
        rollover { advice sourcesMoved sourcesTotal oldSecret { id hint lastUsedAt } }
      }
    }
  }
`);
