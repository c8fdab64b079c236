// A heat map of durations: one cell for each slot and half an octave, the darker the more requests.

import { svg } from './dom.js';
import { duration } from './format.js';

const LEVELS = 6;

/** Returns the limits of a part in microseconds. The first one begins at 0, which a logarithmic scale has not. */
export function limits(bounds, part) {
  const low = bounds[part] || bounds[1] / 2;
  return [low, bounds[part + 1] ?? low * 2];
}

/** Returns the part with the most requests, or null without any. */
export function fullest(heat) {
  const most = Math.max(0, ...(heat ?? []));
  return most ? heat.indexOf(most) : null;
}

/** Returns the sums of the heat of all points. */
export function total(list) {
  const sums = [];
  for (const point of list) point?.heat.forEach((n, part) => { sums[part] = (sums[part] ?? 0) + n; });
  return Array.from(sums, (n) => n ?? 0);
}

/** Returns the darkness of a cell with `n` requests, from 1 to 6: a few among many must be seen. */
export const level = (n, most) => Math.min(LEVELS, Math.max(1, Math.ceil((LEVELS * Math.log1p(n)) / Math.log1p(most))));

/** Returns the least and the greatest duration of all points, as a list of values. */
export function values({ list, bounds }) {
  const all = total(list);
  const [first, last] = [all.findIndex((n) => n), all.findLastIndex((n) => n)];
  return first < 0 ? [] : [limits(bounds, first)[0], limits(bounds, last)[1]];
}

/** Returns a part as words. */
export const words = (bounds, part) => `${bounds[part] ? `${duration(bounds[part])} – ` : 'up to '}${duration(limits(bounds, part)[1])}`;

/** Draws the cells: one path for each level. */
export function cells(chart) {
  const { list, bounds } = chart.data;
  const most = Math.max(1, ...list.flatMap((point) => point?.heat ?? []));
  const paths = new Array(LEVELS).fill('');
  list.forEach((point, at) => point?.heat.forEach((n, part) => {
    if (!n) return;
    const [left, right] = chart.place(at);
    const [bottom, top] = limits(bounds, part).map((edge) => chart.y(edge));
    paths[level(n, most) - 1] += `M${left.toFixed(1)} ${bottom.toFixed(1)}V${top.toFixed(1)}H${Math.max(left + 1, right).toFixed(1)}V${bottom.toFixed(1)}z`;
  }));
  return paths.map((d, nth) => svg('path', { d, class: `h${nth + 1}` }));
}
