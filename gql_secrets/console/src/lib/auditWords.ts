/** The events of the audit log in sentences. */

import type { AuditEntry } from "../graphql/queries";
import { formatMoment } from "./format";

type Action = AuditEntry["action"];

/** What the actor did, before the name of the client or the person, and after it. */
export const SENTENCES: Readonly<Record<Action, readonly [before: string, after: string]>> = {
  CLIENT_CREATED: ["created", ""],
  CLIENT_IMPORTED: ["imported", ""],
  CLIENT_UPDATED: ["edited", ""],
  CLIENT_ENABLED: ["enabled", ""],
  CLIENT_DISABLED: ["disabled", ""],
  CLIENT_DELETED: ["deleted", ""],
  SECRET_RESET: ["reset the secret of", ""],
  OLD_SECRET_REVOKED: ["revoked the old secret of", ""],
  OLD_SECRET_EXPIRED: ["recorded that the old secret of", "expired"],
  RETENTION_CHANGED: ["changed the retention of the old secret of", ""],
  ROLLOVER_CANCELLED: ["cancelled the rollover of", ""],
  AUDIT_ACCEPTED: ["accepted the audit log as it is", ""],
  AUDIT_PRUNED: ["archived old audit events", ""],
  DATABASE_REWOUND: ["found that the database had lost changes", ""],
  RESTORE_ACCEPTED: ["accepted the restored database", ""],
  CHANGES_PAUSED: ["paused changes to move the database", ""],
  CHANGES_RESUMED: ["resumed changes", ""],
  PEPPER_MIGRATION_STARTED: ["started to move secrets to a new pepper key", ""],
  WEBHOOK_CREATED: ["created a webhook", ""],
  WEBHOOK_UPDATED: ["edited a webhook", ""],
  WEBHOOK_DELETED: ["deleted a webhook", ""],
  WEBHOOK_SECRET_ROTATED: ["rotated the secret of a webhook", ""],
  SIGN_IN_LINK_CREATED: ["created a sign-in link for", ""],
  SIGN_IN_LINK_VOIDED: ["voided the sign-in link of", ""],
  SIGNED_IN: ["signed in", ""],
  SESSION_ENDED: ["ended the session of", ""],
};

const SESSION_ENDS: Readonly<Record<NonNullable<AuditEntry["sessionEndReason"]>, string>> = {
  SIGNED_OUT: "Signed out",
  REPLACED: "Signed in again with the same browser",
  ENDED_BY_ADMIN: "Ended by an administrator",
  ROLE_LOST: "The role was withdrawn",
  PROVIDER_ENDED: "Ended by the identity provider",
  MAKER_ENDED: "The secret or session that created the sign-in link ended",
};

/** What happened in the terms of the people who read it. */
export function detailsOf(event: AuditEntry, now: number): readonly string[] {
  const { action, hoursToLive, expiresAt } = event;
  const hard = action === "SECRET_RESET" && hoursToLive === 0;
  const keeps = action === "SECRET_RESET" || action === "RETENTION_CHANGED";
  return [
    hard
      ? "Ended the old secret immediately"
      : keeps && expiresAt && `Old secret kept until ${formatMoment(expiresAt, now)}`,
    event.clamped && "Shortened to the maximum of 7 days after the reset",
    action === "SECRET_RESET" &&
      event.endedSecrets.some((ended) => ended.reason === "WITHDRAWN") &&
      "Unused new secret withdrawn",
    event.endedSecrets.some((ended) => ended.reason === "DISPLACED") && "Ended an old secret that was still valid",
    event.editedFields.length > 0 && `Changed: ${event.editedFields.map(fieldName).join(", ")}`,
    event.weakSecret && "The imported secret is weak",
    event.linkNumber !== null && action !== "SESSION_ENDED" && `Sign-in link ${event.linkNumber}`,
    event.personRole && action === "SIGN_IN_LINK_CREATED" && `Role ${event.personRole.toLowerCase()}`,
    event.sessionEndReason && SESSION_ENDS[event.sessionEndReason],
    event.reason && `Reason: ${event.reason}`,
  ].filter((detail): detail is string => Boolean(detail));
}

const fieldName = (field: string): string => field.replace(/_|(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase();
