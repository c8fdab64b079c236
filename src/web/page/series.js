// The classes of status as series of a chart, in the server's order: 1xx 2xx 3xx 4xx 5xx other.

import { address } from './filter.js';

export const sum = (rows) => rows.reduce((total, n) => total + n, 0);

export const CLASSES = [
  { name: '5xx', style: 'c5', pattern: 'url(#hatch5)', filter: '5xx', value: (point) => point.rows[4] },
  { name: '4xx', style: 'c4', pattern: 'url(#hatch4)', filter: '4xx', value: (point) => point.rows[3] },
  { name: '3xx', style: 'c3', filter: '3xx', value: (point) => point.rows[2] },
  { name: '2xx', style: 'c2', filter: '2xx', value: (point) => point.rows[1] },
  { name: '1xx', style: 'c1', filter: '1xx', value: (point) => point.rows[0] },
  { name: 'other', style: 'c0', value: (point) => point.rows[5] },
];

/** Makes the classes in the legends of a section links to a filter, or from the filter that has them. */
export function link(section, state) {
  for (const entry of section.querySelectorAll('[data-filter]')) {
    const chosen = state.code === entry.dataset.filter;
    entry.href = address(state, { code: chosen ? undefined : entry.dataset.filter });
    entry.toggleAttribute('aria-current', chosen);
  }
}
