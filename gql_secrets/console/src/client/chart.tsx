/** The chart of uses per hour. The table gives the same numbers to people who cannot see it. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { formatHour, formatNumber } from "../lib/format";
import { Hint } from "../ui/basics";
import { MARKER_WIDTH, rowsOf } from "./markers";
import type { UsageHours } from "./usageHours";

const LEFT = 48;
const BOTTOM = 26;
const MARKERS_HEIGHT = 56;
const NO_MARKERS_HEIGHT = 12;
const HOUR = 3_600_000;
const LABEL_WIDTH = 120;
const PLOT_HEIGHT = 138;

interface ChartProps {
  usage: UsageHours;
  /** When the new secret was first used. */
  firstUsedAt: number | null;
  /** When the retention was changed. */
  changedAt: readonly number[];
  now: number;
}

export function Chart({ usage, firstUsedAt, changedAt, now }: ChartProps) {
  const [pointed, setPointed] = useState<number | null>(null);
  const [frame, width] = useWidth();
  const { hours, fresh, old, refused } = usage;
  const below = (index: number) => (fresh[index] ?? 0) + (old?.[index] ?? 0);
  const most = niceCeiling(Math.max(1, ...hours.map((_, index) => below(index) + (refused?.[index] ?? 0))));
  const step = Math.max(1, width - LEFT) / hours.length;
  const x = (index: number) => LEFT + index * step;
  const point = (event: PointerEvent & { currentTarget: SVGSVGElement }) => {
    const box = event.currentTarget.getBoundingClientRect();
    const index = Math.floor((event.clientX - box.left - LEFT) / step);
    setPointed(Math.max(0, Math.min(hours.length - 1, index)));
  };
  const from = hours[0] ?? 0;
  const inRollover = usage.resetAt !== null;
  const markers = [
    { words: "Reset", at: usage.resetAt },
    { words: "New secret first used", at: inRollover ? firstUsedAt : null },
    ...changedAt.map((at) => ({ words: "Retention changed", at })),
    { words: "Ended", at: usage.endedAt },
    { words: "Now", at: inRollover && usage.endedAt === null ? now : null },
  ].flatMap(({ words, at }) =>
    at === null || at < from ? [] : [{ words, at, place: Math.min(width - 1, x((at - from) / HOUR)) }],
  );
  const rows = rowsOf(markers.map(({ place }) => place));
  const top = markers.length > 0 ? MARKERS_HEIGHT : NO_MARKERS_HEIGHT;
  const height = top + PLOT_HEIGHT + BOTTOM;
  const y = (count: number) => top + PLOT_HEIGHT * (1 - count / most);

  return (
    <figure class="chart" ref={frame}>
      <svg
        width={width}
        height={height}
        role="img"
        aria-label={summaryOf(usage)}
        onPointerMove={point}
        onPointerLeave={() => setPointed(null)}
      >
        {[0, 0.5, 1].map((part) => (
          <g key={part}>
            <line class="grid" x1={LEFT} x2={width} y1={y(most * part)} y2={y(most * part)} />
            <text class="axis end" x={LEFT - 8} y={y(most * part) + 4}>
              {formatNumber(most * part)}
            </text>
          </g>
        ))}
        {labelledHours(hours.length, Math.max(1, Math.floor((width - LEFT) / LABEL_WIDTH))).map((index) => (
          <text key={index} class="axis" x={x(index)} y={height - 6}>
            {formatHour(hours[index] ?? 0)}
          </text>
        ))}
        <Bars counts={fresh} from={() => 0} x={x} y={y} name="new" />
        {old && <Bars counts={old} from={(index) => fresh[index] ?? 0} x={x} y={y} name="old" />}
        {refused && <Bars counts={refused} from={below} x={x} y={y} name="refused" />}
        {markers.map(({ words, at, place }, index) => (
          <Marker key={`${words} ${at}`} x={place} width={width} words={words} row={rows[index] ?? 0} />
        ))}
        {pointed !== null && <rect class="pointed" x={x(pointed)} y={top} width={step} height={PLOT_HEIGHT} />}
      </svg>
      <figcaption class="legend">
        <span class="key new">
          {old ? "New secret" : "Current secret"} <Hint hint={usage.freshHint} />
          {pointed !== null && <b>{formatNumber(fresh[pointed] ?? 0)}</b>}
        </span>
        {old && usage.oldHint !== null && (
          <span class="key old">
            Old secret <Hint hint={usage.oldHint} />
            {pointed !== null && <b>{formatNumber(old[pointed] ?? 0)}</b>}
          </span>
        )}
        {refused && (
          <span class="key refused">
            Refused attempts
            {pointed !== null && <b>{formatNumber(refused[pointed] ?? 0)}</b>}
          </span>
        )}
        {pointed !== null && <span class="muted">from {formatHour(hours[pointed] ?? 0)}</span>}
      </figcaption>
    </figure>
  );
}

function Marker({ x, width, words, row }: { x: number; width: number; words: string; row: number }) {
  const before = x > width - MARKER_WIDTH;
  return (
    <g>
      <line class="reset-line" x1={x} x2={x} y1={4 + row * 16} y2={MARKERS_HEIGHT + PLOT_HEIGHT} />
      <text class={`axis strong ${before ? "end" : ""}`} x={before ? x - 5 : x + 5} y={13 + row * 16}>
        {words}
      </text>
    </g>
  );
}

interface BarsProps {
  counts: readonly number[];
  /** What the bar of an hour stands on. */
  from: (index: number) => number;
  x: (index: number) => number;
  y: (count: number) => number;
  name: "new" | "old" | "refused";
}

/** One bar an hour: a count belongs to its whole hour. */
function Bars({ counts, from, x, y, name }: BarsProps) {
  const gap = x(1) - x(0) > 4 ? 1 : 0;
  const bars = counts.flatMap((count, index) =>
    count > 0
      ? [`M${x(index)} ${y(from(index))}V${y(from(index) + count)}H${x(index + 1) - gap}V${y(from(index))}Z`]
      : [],
  );
  return <path class={`bars ${name}`} d={bars.join("")} />;
}

/** A round number at or above the highest count, for the axis; even, so that its half is whole too. */
function niceCeiling(most: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(most));
  const nice = [1, 2, 4, 6, 8, 10].map((factor) => factor * magnitude).find((candidate) => candidate >= most);
  return Math.max(2, nice ?? most);
}

function labelledHours(count: number, most: number): number[] {
  const every = Math.ceil(count / most);
  return Array.from({ length: Math.floor(count / every) }, (_, index) => index * every);
}

/** The frame's width in pixels, so that letters keep their size on a phone. */
function useWidth() {
  const frame = useRef<HTMLElement>(null);
  const [width, setWidth] = useState(320);
  useLayoutEffect(() => {
    const element = frame.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    setWidth(element.clientWidth);
    return () => observer.disconnect();
  }, []);
  return [frame, width] as const;
}

function summaryOf({ hours, fresh, old, refused }: UsageHours): string {
  const total = (counts: readonly number[]) => formatNumber(counts.reduce((sum, count) => sum + count, 0));
  const span = `in the last ${hours.length} hours`;
  return [
    `The ${old ? "new" : "current"} secret was used ${total(fresh)} times ${span}.`,
    old && `The old one was used ${total(old)} times, ${formatNumber(old.at(-1) ?? 0)} of them in this hour.`,
    refused && `Ended secrets were refused ${total(refused)} times.`,
    "The table lists every hour.",
  ]
    .filter(Boolean)
    .join(" ");
}
