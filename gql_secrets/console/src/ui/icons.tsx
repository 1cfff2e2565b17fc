/** Small icons next to words; never instead of them. */

const PATHS = {
  check: "M3.5 8.5l3 3 6-7",
  clock: "M8 4.5V8l2.2 1.6M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8z",
  warn: "M8 6v3.2M8 11.6v.1M7 2.6 1.7 12a1.2 1.2 0 0 0 1 1.8h10.6a1.2 1.2 0 0 0 1-1.8L9 2.6a1.2 1.2 0 0 0-2 0z",
  stop: "M4 4l8 8M12 4l-8 8",
  pause: "M6 4v8M10 4v8",
  info: "M8 7.3v3.6M8 5v.1M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8z",
  copy: "M5.5 5.5v-2a1 1 0 0 1 1-1h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-2M3.5 5.5h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-6a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1z",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.3 10.3l3.4 3.4",
  up: "M4 9.5 8 5.5l4 4",
  down: "M4 6.5l4 4 4-4",
  left: "M10 3.5 5.5 8l4.5 4.5",
  right: "M6 3.5 10.5 8 6 12.5",
  code: "M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5",
  download: "M8 2.5v7.2M4.8 6.8 8 10l3.2-3.2M2.5 13.5h11",
  key: "M10.5 2.5a3.5 3.5 0 0 0-3.3 4.6L2.5 11.8v1.7h2v-1.4H6v-1.5h1.3l.9-.9a3.5 3.5 0 1 0 2.3-7.2zM11.4 5.2v.1",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
