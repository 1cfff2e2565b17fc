/** The home page before its data has come, in the shape that it will have. */

import { Bone, numbers, Passing } from "../ui/bones";

export function LoadingOverview() {
  return (
    <Passing what="the overview">
      <p class="tiles-title">
        <Bone width="40px" />
      </p>
      <div class="tiles">
        {["lockedOut", "endingSoon", "safeToRevoke"].map((tile) => (
          <div key={tile} class="tile none bones">
            <Bone width="45%" />
            <Bone width="36px" tall />
            <Bone width="75%" />
          </div>
        ))}
      </div>
      <div class="overview-columns">
        <BonePanel rows={5} />
        <BonePanel rows={4} />
      </div>
    </Passing>
  );
}

function BonePanel({ rows }: { rows: number }) {
  return (
    <div class="panel bones">
      <Bone width="30%" />
      {numbers(rows).map((row) => (
        <div key={row} class="bones">
          <Bone width="40%" />
          <Bone width="70%" />
        </div>
      ))}
    </div>
  );
}
