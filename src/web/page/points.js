// The charts' values as text.

import { el } from './dom.js';
import { count, moment } from './format.js';

/** Returns all points as a table, for screen readers. */
export function table(data, columns, unit) {
  const rows = [];
  data.list.forEach((point, at) => {
    if (!point) return;
    rows.push(el('tr', {}, el('th', { scope: 'row' }, moment(data.start + at * data.step)),
      columns.map(({ value, format = count }) => el('td', {}, value(point) === null ? 'none' : format(value(point))))));
  });
  return el('table', {}, el('caption', {}, `Requests ${unit}; times without requests are left out`),
    el('thead', {}, el('tr', {}, ['Time', ...columns.map(({ name }) => name)].map((name) => el('th', { scope: 'col' }, name)))),
    el('tbody', {}, rows));
}
