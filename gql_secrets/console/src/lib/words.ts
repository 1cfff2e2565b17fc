/** The schema's terms in the user's words. */

import type { AuditEntry, Feature } from "../graphql/queries";
import type { Tone } from "../ui/basics";
import type { IconName } from "../ui/icons";

interface Words {
  readonly tone: Tone;
  readonly icon: IconName;
  readonly short: string;
}

export const STATE_WORDS: Readonly<Record<"CURRENT" | "RETAINED" | "EXPIRED" | "REVOKED", Words>> = {
  CURRENT: { tone: "good", icon: "key", short: "Active" },
  RETAINED: { tone: "live", icon: "clock", short: "Old, active" },
  EXPIRED: { tone: "calm", icon: "stop", short: "Expired" },
  REVOKED: { tone: "calm", icon: "stop", short: "Revoked" },
};

export const END_WORDS = {
  EXPIRED: "expired",
  REVOKED: "revoked",
  WITHDRAWN: "withdrawn, never used",
  DISPLACED: "ended by another reset",
  HARD_RESET: "ended by a hard reset",
  CANCELLED: "rollover cancelled",
  CLIENT_DELETED: "client deleted",
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
  AUDIT_PRUNED: "Old audit events archived",
  DATABASE_REWOUND: "Lost changes found",
  RESTORE_ACCEPTED: "Restored database accepted",
  CHANGES_PAUSED: "Changes paused",
  CHANGES_RESUMED: "Changes resumed",
  PEPPER_MIGRATION_STARTED: "Pepper migration started",
  WEBHOOK_CREATED: "Webhook created",
  WEBHOOK_UPDATED: "Webhook edited",
  WEBHOOK_DELETED: "Webhook deleted",
  WEBHOOK_SECRET_ROTATED: "Webhook secret rotated",
  SIGN_IN_LINK_CREATED: "Sign-in link created",
  SIGN_IN_LINK_VOIDED: "Sign-in link voided",
  SIGNED_IN: "Signed in",
  SESSION_ENDED: "Session ended",
};

export const ROLE_WORDS = { ADMIN: "Admin", OPERATOR: "Operator", VIEWER: "Viewer" } as const;

export const WAY_WORDS = { LINK: "Sign-in link", IDENTITY_PROVIDER: "Identity provider" } as const;

export const SURFACE_WORDS: Readonly<Record<AuditEntry["surface"], string>> = {
  GRAPHQL: "GraphQL",
  CLIENTS_API: "/clients",
  SIGN_IN: "Sign-in page",
  CLI: "Command line",
  SYSTEM: "Automatic",
};

/** What people call an actor: the audit writes "user:link/7" and the person's name, "cli:root" or "api_client:…". */
export function actorName(actor: string, name: string | null): string {
  if (name !== null) return name;
  if (actor.startsWith("user:")) return actor.slice("user:".length);
  if (actor.startsWith("cli:")) return `${actor.slice("cli:".length)} (command line)`;
  if (actor.startsWith("api_client:")) return `client ${actor.slice("api_client:".length)}`;
  return actor === "system" ? "System" : actor;
}

/** What each feature lets a client do. */
export const FEATURES: Readonly<Record<Feature, string>> = {
  OWNER: "administers this installation",
  OPERATOR: "reads clients, and hard resets their secrets",
  VIEWER: "reads clients and the state of their secrets",
  ACCESS_ISSUER: "issues access for others",
  DIRECT_ACCESS: "reads and writes records",
  DIRECT_READ_ACCESS: "reads records",
  LOGIN_CLIENT: "signs users in",
  ACTS_FOR_USERS: "acts for the users of a sign-in proxy",
};

export const ADMINISTERS: Feature = "OWNER";

/** A feature as the command line and /clients write it. */
export const featureName = (feature: Feature): string => feature.toLowerCase();
