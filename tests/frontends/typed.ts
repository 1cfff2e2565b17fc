// A frontend whose types graphql-codegen wrote. tsc checks it, and refuses each line below @ts-expect-error.

import { PageDocument, ResetDocument, type PageQuery } from "./operations.js";
import { send } from "./typed_client.js";

declare const process: { env: Record<string, string>; exit(code: number): never };
const { API = "", TOKEN = "" } = process.env;

const { clients } = await send(API, TOKEN, PageDocument, { first: 10 });
const [client] = clients?.nodes ?? [];
if (client === undefined) throw new Error("there is no client");
const endsAt: string | undefined = client.rollover?.endsAt;
if (endsAt !== undefined) throw new Error(`there is a rollover until ${endsAt}`);

const { resetSecret } = await send(API, TOKEN, ResetDocument, {
  clientId: client.clientId,
  hoursToLive: 320,
  key: crypto.randomUUID(),
});
const code = resetSecret?.userErrors[0]?.code;
if (code !== "INVALID_HOURS_TO_LIVE" || resetSecret?.newSecret !== null) throw new Error(code);
console.log("done");
process.exit(0);

export const mistakes = (page: PageQuery) => {
  // @ts-expect-error a field that may be refused may be null
  page.clients.nodes;
  // @ts-expect-error a client need not be in a rollover
  page.clients?.nodes[0]?.rollover.endsAt;
  // @ts-expect-error the operation does not select this field
  page.clients?.nodes[0]?.enabled;
  // @ts-expect-error hoursToLive has no default
  send(API, TOKEN, ResetDocument, { clientId: "a", key: "b" });
  // @ts-expect-error an enum has no such value
  if (code === "INVALID_HOURS") return;
};
