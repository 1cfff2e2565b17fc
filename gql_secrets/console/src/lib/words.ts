/** The schema's words in the user's words. */

import type { AuditEntry, Feature } from "../graphql/queries";
import type { Tone } from "../ui/basics";
import type { IconName } from "../ui/icons";

interface Words {
  readonly tone: Tone;
  readonly icon: IconName;
  readonly short: string;
}

export const ADVICE_WORDS: Readonly<Record<"WAIT_FOR_NEW" | "WAIT_FOR_QUIET" | "REVOKE", Words>> = {
  WAIT_FOR_NEW: { tone: "warn", icon: "info", short: "New secret not used yet" },
  WAIT_FOR_QUIET: { tone: "warn", icon: "warn", short: "Old secret still used" },
  REVOKE: { tone: "good", icon: "check", short: "Safe to revoke" },
};

export const STATE_WORDS: Readonly<Record<"CURRENT" | "RETAINED" | "EXPIRED" | "REVOKED", Words>> = {
  CURRENT: { tone: "good", icon: "key", short: "Current" },
  RETAINED: { tone: "live", icon: "clock", short: "Retained" },
  EXPIRED: { tone: "calm", icon: "stop", short: "Expired" },
  REVOKED: { tone: "calm", icon: "stop", short: "Revoked" },
};

export const END_WORDS = {
  EXPIRED: "its retention was over",
  REVOKED: "revoked by hand",
  WITHDRAWN: "withdrawn, never used",
  DISPLACED: "displaced by another reset",
  HARD_RESET: "ended by a hard reset",
  CANCELLED: "the rollover was cancelled",
  CLIENT_DELETED: "its client was deleted",
} as const;

export const ACTION_WORDS: Readonly<Record<AuditEntry["action"], string>> = {
  CLIENT_CREATED: "Client created",
  CLIENT_IMPORTED: "Client imported",
  CLIENT_UPDATED: "Client edited",
  CLIENT_ENABLED: "Client enabled",
  CLIENT_DISABLED: "Client disabled",
  CLIENT_DELETED: "Client deleted",
  SECRET_RESET: "Secret reset",
  OLD_SECRET_REVOKED: "Old secret revoked",
  OLD_SECRET_EXPIRED: "Old secret expired",
  RETENTION_CHANGED: "Retention changed",
  ROLLOVER_CANCELLED: "Rollover cancelled",
  AUDIT_ACCEPTED: "Audit log accepted",
};

export const SURFACE_WORDS: Readonly<Record<AuditEntry["surface"], string>> = {
  GRAPHQL: "GraphQL",
  CLIENTS_API: "/clients",
  CLI: "Command line",
  SYSTEM: "By itself",
};

/** Who did it, as people say it: the audit writes "user:Ada", "cli:root" or "api_client:…". */
export function actorName(actor: string): string {
  if (actor.startsWith("user:")) return actor.slice("user:".length);
  if (actor.startsWith("cli:")) return `${actor.slice("cli:".length)} (command line)`;
  if (actor.startsWith("api_client:")) return `client ${actor.slice("api_client:".length)}`;
  return actor === "system" ? "gql-secrets itself" : actor;
}

/** What each feature lets a client do. */
export const FEATURES: Readonly<Record<Feature, string>> = {
  OWNER: "administers this installation",
  OPERATOR: "reads, and resets at once in an emergency",
  VIEWER: "reads",
  ACCESS_ISSUER: "issues access for others",
  DIRECT_ACCESS: "reads and writes records",
  DIRECT_READ_ACCESS: "reads records",
  LOGIN_CLIENT: "signs users in",
};

export const ADMINISTERS: Feature = "OWNER";

/** A feature as the command line and /clients write it. */
export const featureName = (feature: Feature): string => feature.toLowerCase();
