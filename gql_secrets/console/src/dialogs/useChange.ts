/** A simple change: send it once, then close the dialog or show why it was refused. */

import { useState } from "preact/hooks";
import { RequestFailed, request } from "../graphql/client";
import type { Document } from "../graphql/graphql";
import { announceChange } from "../graphql/live";
import type { Problem } from "../graphql/mutations";
import { useAction } from "../graphql/useAction";
import { rememberGeneration } from "../lib/generations";
import { returnToHeading } from "../ui/dialog";
import type { Changing } from "./conflict";

interface Payload {
  readonly client?: ({ readonly clientId: string; readonly generation?: number } & Partial<Changing>) | null;
  readonly userErrors: readonly Problem[];
}

interface Change<Variables> {
  readonly send: (variables: Variables) => void;
  readonly pending: boolean;
  readonly failure: RequestFailed | null;
  readonly problems: readonly Problem[];
  readonly requestId: string | null;
  /** The client as it is, where a change of it was refused. */
  readonly asItIs: Changing | null;
}

/** `Result` has one field, the mutation's; `onDone` gets its payload when nothing was refused. */
export function useChange<Result extends object, Variables extends object>(
  document: Document<Result, Variables>,
  onDone: (payload: NonNullable<Result[keyof Result]>) => void,
): Change<Variables> {
  const { run, pending, failure } = useAction();
  const [refusal, setRefusal] = useState<Pick<Change<Variables>, "problems" | "requestId" | "asItIs">>({
    problems: [],
    requestId: null,
    asItIs: null,
  });
  const send = (variables: Variables) =>
    run(async () => {
      const { data, requestId } = await request(document, variables);
      const payload = Object.values(data)[0] as (NonNullable<Result[keyof Result]> & Payload) | null;
      if (!payload) throw new RequestFailed("failed", "The server returned no result.", requestId);
      const secret = payload.client?.currentSecret;
      const asItIs = secret === undefined ? null : { currentSecret: secret };
      setRefusal({ problems: payload.userErrors, requestId, asItIs });
      if (payload.userErrors.length > 0) return;
      if (payload.client?.generation !== undefined) {
        rememberGeneration({ ...payload.client, generation: payload.client.generation });
      }
      if ("clientId" in variables) announceChange(String(variables.clientId));
      returnToHeading();
      onDone(payload);
    });
  return { send, pending, failure, ...refusal };
}
