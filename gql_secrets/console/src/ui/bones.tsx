/** What a page shows while its data is on the way: nothing for a moment, then the shapes of what will be there. */

import type { ComponentChildren } from "preact";

interface PassingProps {
  what: string;
  class?: string;
  children: ComponentChildren;
}

/** It appears only where the answer takes longer than one would notice, and is announced only then. */
export function Passing({ what, class: name = "", children }: PassingProps) {
  return (
    <div class={`passing ${name}`} role="status">
      <span class="hidden">Loading {what}…</span>
      <div aria-hidden="true">{children}</div>
    </div>
  );
}

export const Bone = ({ width, tall = false }: { width: string; tall?: boolean }) => (
  <div class={tall ? "bone tall" : "bone"} style={{ inlineSize: width }} />
);

export const numbers = (count: number): readonly number[] => [...Array(count).keys()];

/** A table that is loading: its head, and rows as high as its rows will be. */
export function LoadingTable({ what, rows = 10, lines = 2 }: { what: string; rows?: number; lines?: 1 | 2 | 3 }) {
  return (
    <Passing what={what} class="panel flush">
      {numbers(rows).map((row) => (
        <div key={row} class={`bone-row lines-${lines}`}>
          <div class="bones">
            <Bone width="62%" />
            {lines > 1 && <Bone width="85%" />}
          </div>
          <Bone width="45%" />
          <Bone width="30%" />
        </div>
      ))}
    </Passing>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <Passing what={what} class="loading">
      <div class="bones">
        <Bone width="85%" />
        <Bone width="55%" />
        <Bone width="85%" />
      </div>
    </Passing>
  );
}

/** A client that is loading: its name, its state and its two secrets. */
export function LoadingClient() {
  return (
    <Passing what="the client">
      <div class="page-head">
        <div class="bones">
          <Bone width="260px" tall />
          <Bone width="320px" />
        </div>
      </div>
      <div class="panel bones">
        <Bone width="40%" />
        <Bone width="70%" />
      </div>
      <div class="secrets">
        {["current", "old"].map((each) => (
          <div key={each} class="panel bones">
            <Bone width="35%" />
            <Bone width="60%" />
            <Bone width="50%" />
            <Bone width="60%" />
          </div>
        ))}
      </div>
    </Passing>
  );
}
