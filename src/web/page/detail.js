// All stored columns of one line. Addresses, users and URLs link to their other lines.

import { block, el, pretty, visible } from './dom.js';
import { address, counterpart } from './filter.js';

/**
 * `facts`: [key, label, field of the filter or a function that formats the value]; `blocks`: lists
 * of [key, label]. Columns in neither of them are shown, too, so that every column is visible.
 * `other`: the view with the other log, and the text of the link to the same request there.
 */
export function detail(row, state, { facts, blocks, other: [view, label] }) {
  const known = new Set([...facts, ...blocks.flat()].map(([key]) => key));
  const others = Object.keys(row).filter((key) => !known.has(key)).map((key) => [key, key]);
  const all = [...facts, ...others];
  const missing = [...all, ...blocks.flat()].filter(([key]) => absent(row[key])).map(([, label]) => label.toLowerCase());
  const plain = all.filter(([key]) => !absent(row[key]) && typeof row[key] !== 'object');
  const columns = [...blocks, others].map((column) => column.filter(([key]) => !absent(row[key]) && (blocks.includes(column) || typeof row[key] === 'object')));
  return [
    el('dl', { class: 'facts' }, plain.map(([key, label, use]) => el('div', {}, el('dt', {}, label), el('dd', {}, fact(row, state, key, use))))),
    el('div', { class: 'blocks' }, columns.filter((column) => column.length).map((column) =>
      el('div', {}, column.map(([key, label]) => shown(label, row[key]))))),
    missing.length ? el('p', { class: 'note' }, `Not logged: ${missing.join(', ')}`) : null,
    el('p', { class: 'note' }, el('a', { href: address(state, { row: String(row.id) }) }, 'Link to this row'),
      absent(row.request_id) ? null : [' · ', el('a', { class: 'counterpart', href: address(state, counterpart(view, row)) }, label)]),
  ];
}

const absent = (value) => value === null || value === undefined || value === '';

function fact(row, state, key, use) {
  const value = row[key];
  if (typeof use === 'function') return use(value, row);
  const text = visible(value);
  return use ? el('a', { href: address(state, { [use]: String(value) }) }, text) : text;
}

function shown(label, value) {
  // An object of short values, such as headers, is shown as a list.
  const flat = typeof value === 'object' && !Array.isArray(value) && Object.values(value).every((it) => typeof it !== 'object' || it === null);
  const text = flat ? null : pretty(value);
  return el('section', { class: 'block' }, el('h3', {}, label, text !== null && text !== value && typeof value === 'string' ? el('span', { class: 'unit' }, ' JSON') : null),
    flat
      ? el('dl', { class: 'pairs' }, Object.entries(value).map(([name, it]) => el('div', {}, el('dt', {}, visible(name)), el('dd', {}, visible(it ?? 'null')))))
      : el('pre', { tabindex: 0, role: 'region', 'aria-label': label }, block(text)));
}
