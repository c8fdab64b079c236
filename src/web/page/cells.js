// Cells of a list of lines: values that link to a narrower filter, times and status codes.

import { el, visible } from './dom.js';
import { address } from './filter.js';
import { fraction, moment, seconds, stamp } from './format.js';

/** Returns what makes a link one of the filter: with Alt, a click on it excludes the value. */
export const term = (field, value) => ({ 'data-field': field, 'data-value': String(value) });

/** Returns a link that narrows the filter to a value. A row's details have the same for keyboards. */
export function pick(state, field, value, text = value) {
  if (value === null || value === undefined || value === '') return el('span', { class: 'none' }, '–');
  return el('a', { href: address(state, { [field]: String(value) }), tabindex: -1, title: `${visible(text)}\nAlt-click: all but these`, ...term(field, value) }, visible(text));
}

export function when({ timestamp }) {
  const ms = Date.parse(timestamp);
  return el('time', { datetime: timestamp, title: stamp(timestamp) },
    el('span', { class: 'date' }, `${moment(ms).slice(5, 10)} `), seconds(ms), el('span', { class: 'fraction' }, fraction(timestamp).slice(0, 4)));
}

const MARKS = { 3: '↪', 4: '▲', 5: '◆' };

export function status(state, code) {
  if (code === null || code === undefined) return el('span', { class: 'none' }, '–');
  const kind = Math.floor(code / 100);
  return el('a', { href: address(state, { code: String(code) }), tabindex: -1, class: `code c${kind >= 1 && kind <= 5 ? kind : 0}`, ...term('code', code) },
    el('span', { 'aria-hidden': 'true' }, MARKS[kind] ?? ''), String(code));
}

