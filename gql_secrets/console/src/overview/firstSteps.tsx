/** What an installation without clients shows in place of six zeros. */

import { Button } from "../ui/basics";
import { CopyButton } from "../ui/copy";

export function FirstSteps({ onCreate }: { onCreate: (() => void) | null }) {
  const command = `curl -i -u 'CLIENT_ID:CLIENT_SECRET' '${location.origin}/verify'`;
  return (
    <section class="panel first-steps" aria-labelledby="first-steps">
      <h2 id="first-steps">Change a secret without an outage</h2>
      <ol>
        <li>
          <h3>Create a client</h3>
          <p>One for each application that calls your APIs. Its secret is shown once.</p>
          {onCreate ? (
            <Button kind="primary" onClick={onCreate}>
              Create your first client
            </Button>
          ) : (
            <p>An administrator can create the first one.</p>
          )}
        </li>
        <li>
          <h3>Let your gateway verify</h3>
          <p>
            It asks <code>/verify</code> about each request. From then on, you see who uses which secret. To try it
            yourself:
          </p>
          <div class="command">
            <code>{command}</code>
            <CopyButton text={command} label="Copy" />
          </div>
        </li>
        <li>
          <h3>Reset with a smooth rollover</h3>
          <p>The old secret keeps working for up to seven days, until every source has moved to the new one.</p>
        </li>
      </ol>
      <p class="muted">
        Everything here is available over GraphQL too: <a href="/graphql">open the explorer</a>.
      </p>
    </section>
  );
}
