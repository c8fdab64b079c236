// Positions of grid lines: round numbers and round times.

import { ahead, clock, day, seconds } from './format.js';

/** Returns round values from 0 to at least `max`. */
export function ticks(max, whole = false, about = 4) {
  if (!(max > 0)) return [0, 1];
  const raw = max / about;
  const size = 10 ** Math.floor(Math.log10(raw));
  let step = [1, 2, 2.5, 5, 10].map((n) => n * size).find((n) => n >= raw * 0.999);
  if (whole) step = Math.max(1, Math.ceil(step));
  const values = [0];
  for (let n = 1; values.at(-1) < max * 0.999; n += 1) values.push(n * step);
  return values;
}

const MINUTE = 60e3;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  10e3, 30e3, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR,
  6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 5 * DAY, 10 * DAY, 20 * DAY, 30 * DAY, 60 * DAY, 120 * DAY, 360 * DAY,
];

/** Returns up to `about` round times of the shown time zone between two moments. */
export function times(from, to, about) {
  const step = STEPS.find((size) => (to - from) / size <= about) ?? STEPS.at(-1);
  const offset = ahead(from);
  const marks = [];
  for (let t = Math.ceil((from + offset) / step) * step - offset; t <= to; t += step) {
    const midnight = (t + ahead(t)) % DAY === 0;
    marks.push({ t, label: midnight ? day(t) : step < MINUTE ? seconds(t) : clock(t), midnight });
  }
  return marks;
}

/** Returns the points of an answer as a list of slots; a slot without requests is empty. */
export function slots(answer) {
  const step = answer.step * 1000;
  const from = Date.parse(answer.from);
  const to = Date.parse(answer.to);
  const start = Math.floor(from / step) * step;
  const list = new Array(Math.max(1, Math.ceil((to - start) / step))).fill(undefined);
  for (const point of answer.points) {
    const at = Math.floor((Date.parse(point.t) - start) / step);
    if (at >= 0 && at < list.length) list[at] = point;
  }
  return { from, to, start, step, list };
}
