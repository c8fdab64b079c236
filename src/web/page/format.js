// Formats of numbers and times: one format each, with the same width for the same size.

const WHOLE = new Intl.NumberFormat('en');
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const NONE = '–';

export const count = (n) => (n === null || n === undefined ? NONE : WHOLE.format(n));

/** Formats a number in full up to 99,999, and shortened from 100,000 on. */
export function brief(n) {
  return n < 1e5 ? count(n) : scaled(n, 1000, ['', 'k', 'M', 'G', 'T'], '');
}

export const bytes = (n) => (n === null || n === undefined ? NONE : scaled(n, 1000, ['B', 'kB', 'MB', 'GB', 'TB', 'PB']));

/** Formats a duration in microseconds. */
export function duration(us) {
  if (us === null || us === undefined) return NONE;
  if (us < 60e6) return scaled(us, 1000, ['µs', 'ms', 's']);
  return span(us / 1e6);
}

function scaled(n, base, units, space = '\u00a0') {
  let at = 0;
  // 999.6 would be rounded to 1000 of the smaller unit.
  while (Math.abs(n) >= base * 0.9995 && at < units.length - 1) {
    n /= base;
    at += 1;
  }
  const digits = Number.isInteger(n) && at === 0 ? 0 : Math.abs(n) >= 100 ? 0 : Math.abs(n) >= 10 ? 1 : 2;
  return `${n.toFixed(digits).replace(/\.0+$/, '')}${space}${units[at]}`;
}

export function percent(share) {
  if (share === null || share === undefined || Number.isNaN(share)) return NONE;
  const value = share * 100;
  if (value === 0 || value === 100) return `${value}%`;
  if (value < 0.01) return '<0.01%';
  return `${value < 1 ? value.toFixed(2) : value < 10 ? value.toFixed(1) : Math.min(99.9, value).toFixed(value > 99 ? 1 : 0)}%`;
}

/** Formats seconds as a duration with at most two units. */
export function span(seconds) {
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  let rest = Math.round(seconds);
  const shown = [];
  for (const [size, unit] of parts) {
    const n = Math.floor(rest / size);
    if (n) shown.push(`${n}\u00a0${unit}`);
    rest -= n * size;
  }
  return shown.slice(0, 2).join(' ') || '0\u00a0s';
}

/** Formats the length of one point of a chart: "minute", "5 minutes". */
export function each(seconds) {
  const [size, unit] = [[86400, 'day'], [3600, 'hour'], [60, 'minute'], [1, 'second']].find(([s]) => seconds % s === 0);
  const n = seconds / size;
  return n === 1 ? unit : `${n} ${unit}s`;
}

let utc = false;

/** Sets the time zone: the browser's, or UTC if the address says so. */
export function zone(name) {
  utc = name === 'utc';
}

export const zoneName = () => (utc ? 'UTC' : Intl.DateTimeFormat().resolvedOptions().timeZone || 'local');

/** Returns the offset of the shown time zone from UTC at a moment, in milliseconds. */
export const ahead = (ms) => (utc ? 0 : -new Date(ms).getTimezoneOffset() * 60000);

const shown = (ms) => new Date(ms + ahead(ms)).toISOString();

export const date = (ms) => shown(ms).slice(0, 10);
export const clock = (ms) => shown(ms).slice(11, 16);
export const seconds = (ms) => shown(ms).slice(11, 19);
export const moment = (ms) => `${date(ms)} ${seconds(ms)}`;
export const day = (ms) => `${Number(shown(ms).slice(8, 10))} ${MONTHS[Number(shown(ms).slice(5, 7)) - 1]}`;
export const weekday = (ms) => DAYS[new Date(ms + ahead(ms)).getUTCDay()];

/** Formats a time of an answer, with its fraction of a second. */
export function stamp(text) {
  if (!text) return NONE;
  return `${moment(Date.parse(text))}${fraction(text)}`;
}

export const fraction = (text) => /\.\d+/.exec(text)?.[0] ?? '';

/** Formats a moment relative to now, past or future. */
export function ago(text, now = Date.now()) {
  if (!text) return 'never';
  const past = (now - Date.parse(text)) / 1000;
  if (Math.abs(past) < 2) return 'now';
  const [length] = span(Math.abs(past)).split(' ');
  return past < 0 ? `in ${length}` : `${length} ago`;
}

/** Converts a time for an input of type datetime-local, and back. */
export const toInput = (ms) => shown(ms).slice(0, 19);

export function fromInput(text) {
  const wall = Date.parse(`${text}Z`);
  if (Number.isNaN(wall)) return undefined;
  // Near a change of clocks the first result may be wrong by an hour; the second is right.
  const guess = wall - ahead(wall);
  return new Date(wall - ahead(guess)).toISOString().replace('.000Z', 'Z');
}
