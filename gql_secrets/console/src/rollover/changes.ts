/** When the retention of a running rollover was changed, for viewers who may see the audit. */

interface Audited {
  readonly rollover: { readonly startedAt: string } | null;
  readonly auditEvents?: { readonly nodes: readonly { readonly action: string; readonly at: string }[] } | null;
}

/** The instants, the newest first. */
export function retentionChanges({ rollover, auditEvents }: Audited): readonly number[] {
  if (!rollover) return [];
  const startedAt = Date.parse(rollover.startedAt);
  return (auditEvents?.nodes ?? [])
    .filter(({ action, at }) => action === "RETENTION_CHANGED" && Date.parse(at) >= startedAt)
    .map(({ at }) => Date.parse(at));
}
