/** The files in which a new secret can be downloaded; made in the browser and sent nowhere. */

export interface ConsoleSettings {
  /** The common part of this gateway's `.ionapi` files; null where none is configured. */
  readonly ionapiTemplate: Readonly<Record<string, string>> | null;
  readonly publicUrl: string | null;
  /** Where people sign in, besides with one-time links. */
  readonly identityProviders?: readonly { readonly name: string; readonly issuer: string }[];
}

export interface Credentials {
  readonly clientId: string;
  readonly clientName: string;
  readonly secret: string;
  readonly settings: ConsoleSettings | null;
}

export async function readConsoleSettings(): Promise<ConsoleSettings> {
  const answer = await fetch("/console/settings", { credentials: "same-origin", cache: "no-store" });
  if (!answer.ok) throw new Error(`The console's settings: status ${answer.status}`);
  return (await answer.json()) as ConsoleSettings;
}

export const asEnv = ({ clientId, secret }: Credentials): string =>
  `CLIENT_ID='${clientId}'\nCLIENT_SECRET='${secret}'\n`;

export const asJson = ({ clientId, clientName, secret }: Credentials): string =>
  `${JSON.stringify({ clientName, clientId, clientSecret: secret }, null, 2)}\n`;

/** A command that checks the secret as a gateway does. It holds the secret, so it is copied and never shown. */
export const asCurl = ({ clientId, secret, settings }: Credentials): string =>
  `curl -s -o /dev/null -w '%{http_code}\\n' -u '${clientId}:${secret}' '${settings?.publicUrl ?? location.origin}/verify'`;

/** The credentials file that this gateway's applications read: the template, completed for this client. */
export const asIonapi = ({ clientId, clientName, secret, settings }: Credentials): string =>
  `${JSON.stringify({ ...settings?.ionapiTemplate, cn: clientName, dt: "12", ci: clientId, cs: secret, v: "1.0" }, null, 2)}\n`;

/** A name that every file system accepts. */
export function fileNameFor(clientName: string): string {
  const plain = clientName.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
  return plain.slice(0, 60) || "client";
}
