/** Instants and durations in words. Dates are in the viewer's own time zone, and in English like everything around them. */

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The viewer's own English where they have one, so that hours and dates have the order they know. */
const ENGLISH = globalThis.navigator?.languages?.find((language) => /^en\b/.test(language)) ?? "en";

const dateTime = new Intl.DateTimeFormat(ENGLISH, { dateStyle: "medium", timeStyle: "short" });
const timeOfDay = new Intl.DateTimeFormat(ENGLISH, { timeStyle: "short" });
const dayAndTime = new Intl.DateTimeFormat(ENGLISH, {
  weekday: "short",
  month: "short",
  day: "numeric",
  hour: "numeric",
  minute: "2-digit",
});
const withZone = new Intl.DateTimeFormat(ENGLISH, {
  weekday: "long",
  year: "numeric",
  month: "long",
  day: "numeric",
  hour: "numeric",
  minute: "2-digit",
  timeZoneName: "short",
});
const hourOfDay = new Intl.DateTimeFormat(ENGLISH, { weekday: "short", hour: "numeric", minute: "2-digit" });
const wholeNumber = new Intl.NumberFormat(ENGLISH);
const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });

export const formatDateTime = (instant: string | number): string => dateTime.format(new Date(instant));
export const formatFully = (instant: string | number): string => withZone.format(new Date(instant));
export const formatHour = (instant: number): string => hourOfDay.format(new Date(instant));
export const formatNumber = (value: number): string => wholeNumber.format(value);

/** "6:03 PM" today, "Sat, Nov 28, 6:03 PM" on another day. */
export function formatMoment(instant: string | number, now: number): string {
  const date = new Date(instant);
  return (date.toDateString() === new Date(now).toDateString() ? timeOfDay : dayAndTime).format(date);
}

/** How long ago a fact of the past was: never "in a moment", however far two clocks differ. */
export const formatPast = (instant: string | number, now: number): string =>
  formatRelative(Math.min(new Date(instant).getTime(), now), now);

/** "3 minutes ago", "in 2 days"; the largest unit that fits is enough. */
export function formatRelative(instant: string | number, now: number): string {
  const distance = new Date(instant).getTime() - now;
  const size = Math.abs(distance);
  if (size < 45 * SECOND) return distance > 0 ? "in a moment" : "just now";
  const whole = (unit: number) => Math.sign(distance) * Math.max(1, Math.floor(size / unit));
  if (size < HOUR) return relative.format(whole(MINUTE), "minute");
  if (size < DAY) return relative.format(whole(HOUR), "hour");
  if (size < 60 * DAY) return relative.format(whole(DAY), "day");
  return relative.format(whole(30 * DAY), "month");
}

/** "3 minutes", "40 days": an age, in the largest unit that fits. */
export const formatAge = (instant: string | number, now: number): string =>
  formatPast(instant, now).replace(/ ago$/, "").replace("just now", "under a minute");

/** "2 d 4 h", "4 h 12 min", "12 min 3 s": short, for a chip. */
export function formatDuration(milliseconds: number): string {
  const left = Math.max(0, milliseconds);
  const [days, hours] = [Math.floor(left / DAY), Math.floor((left % DAY) / HOUR)];
  const [minutes, seconds] = [Math.floor((left % HOUR) / MINUTE), Math.floor((left % MINUTE) / SECOND)];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  if (minutes === 0) return `${seconds} s`;
  return seconds > 0 ? `${minutes} min ${seconds} s` : `${minutes} min`;
}

/** "1 d 23:59:12": exact to the second, for a countdown. */
export function formatCountdown(milliseconds: number): string {
  const left = Math.max(0, milliseconds);
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
  const clock = `${two((left % DAY) / HOUR)}:${two((left % HOUR) / MINUTE)}:${two((left % MINUTE) / SECOND)}`;
  return left >= DAY ? `${Math.floor(left / DAY)} d ${clock}` : clock;
}

const INSTANT = /(\bat )?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/g;

/** The server's sentences name instants in UTC; people read them in their own time zone. */
export const withLocalInstants = (sentence: string, now: number): string =>
  sentence.replace(INSTANT, (_, at: string | undefined, instant: string) => {
    const moment = formatMoment(instant, now);
    // "at 6:05 PM", but "on Sun, Nov 29, 6:05 PM".
    const word = at && (/^\d/.test(moment) ? "at " : "on ");
    return `${word ?? ""}${moment}`;
  });

export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${formatNumber(count)} ${count === 1 ? one : many}`;
