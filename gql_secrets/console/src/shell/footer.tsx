/** The end of every page: how many nodes the installation has, and which of them are behind. */

import { useEffect, useRef } from "preact/hooks";
import { CLUSTER, type ClusterNode } from "../graphql/adminQueries";
import { useQuery } from "../graphql/useQuery";
import { isAttended } from "../lib/attention";
import { isAnyBehind, summarizeCluster } from "../lib/clusterWords";
import { Icon } from "../ui/icons";

const ASK_AGAIN_AFTER = 20_000;
const ASK_AGAIN_AFTER_TROUBLE = 5_000;
const NOBODY: readonly ClusterNode[] = [];

/** For administrators only: nobody else may read it. */
export function Footer() {
  const { answer, reload } = useQuery(CLUSTER, {}, { follow: () => false, poll: false });
  const nodes = answer?.data.cluster?.members ?? NOBODY;
  const answers = useRef({ last: NOBODY, before: NOBODY });
  if (answers.current.last !== nodes) answers.current = { last: nodes, before: answers.current.last };
  useEffect(() => {
    const pause = isAnyBehind(nodes) ? ASK_AGAIN_AFTER_TROUBLE : ASK_AGAIN_AFTER;
    const asking = setInterval(() => isAttended() && reload(), pause);
    return () => clearInterval(asking);
  }, [nodes, reload]);
  const summary = summarizeCluster(nodes, answers.current.before);
  return (
    <footer class="foot">
      {summary && (
        <p class={summary.isTrouble ? "trouble" : ""} role="status">
          {summary.isTrouble && <Icon name="warn" />}
          {summary.words}
        </p>
      )}
    </footer>
  );
}
