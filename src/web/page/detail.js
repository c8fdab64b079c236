// All stored columns of one line. Addresses, users and URLs link to their other lines.

import { term } from './cells.js';
import { block, el, pretty, visible } from './dom.js';
import { address, counterpart, withTerm } from './filter.js';
import { count } from './format.js';
import { story } from './story.js';

const unfolded = new Set(); // labels of the blocks that the reader has opened: those of the next row are open, too

/**
 * `facts`: [key, label, field of the filter or a function that formats the value]; `blocks`: lists
 * of [key, label]. Columns in neither of them are shown, too, so that every column is visible.
 * `view`: log or requests. `other`: the view with the other log, and the text of the link to the same request there.
 * `signal` ends what the details load.
 */
export function detail(row, state, { facts, blocks, view, other: [otherView, label], signal }) {
  const known = new Set([...facts, ...blocks.flat()].map(([key]) => key));
  const others = Object.keys(row).filter((key) => !known.has(key)).map((key) => [key, key]);
  const all = [...facts, ...others];
  const missing = [...all, ...blocks.flat()].filter(([key]) => absent(row[key])).map(([, label]) => label.toLowerCase());
  const plain = all.filter(([key]) => !absent(row[key]) && typeof row[key] !== 'object');
  const columns = [...blocks, others].map((column) => column.filter(([key]) => !absent(row[key]) && (blocks.includes(column) || typeof row[key] === 'object')));
  return [
    el('dl', { class: 'facts' }, plain.map(([key, label, use]) => el('div', {}, el('dt', {}, label), el('dd', {}, fact(row, state, key, use, label))))),
    el('div', { class: 'blocks' }, columns.filter((column) => column.length).map((column) =>
      el('div', {}, column.map(([key, label]) => shown(label, row[key]))))),
    story(row, state, view, signal),
    missing.length ? el('p', { class: 'note' }, `Not logged: ${missing.join(', ')}`) : null,
    el('p', { class: 'note' }, el('a', { href: address(state, { row: String(row.id) }) }, 'Link to this row'),
      absent(row.request_id) ? null : [' · ', el('a', { class: 'counterpart', href: address(state, counterpart(otherView, row)) }, label)]),
  ];
}

const absent = (value) => value === null || value === undefined || value === '';

function fact(row, state, key, use, label) {
  const value = row[key];
  if (typeof use === 'function') return use(value, row);
  const text = visible(value);
  if (!use) return text;
  const without = { field: use, value: String(value), not: true };
  return [
    el('a', { href: address(state, { [use]: String(value) }), ...term(use, value) }, text),
    el('a', { class: 'without', href: address(state, withTerm(state, without)), title: 'Exclude these', 'aria-label': `Exclude ${label} ${text.slice(0, 60)}` }), // its sign is no text: a value is copied without it
  ];
}

function shown(label, value) {
  // An object of short values, such as headers, is shown as a list.
  const flat = typeof value === 'object' && !Array.isArray(value) && Object.values(value).every((it) => typeof it !== 'object' || it === null);
  const text = flat ? null : pretty(value);
  const size = flat ? `${count(Object.keys(value).length)} ${Object.keys(value).length === 1 ? 'value' : 'values'}` : `${count(text.length)} characters`;
  const json = text !== null && text !== value && typeof value === 'string' ? 'JSON, ' : '';
  const fold = el('details', { class: 'block', open: unfolded.has(label), ontoggle: () => unfolded[fold.open ? 'add' : 'delete'](label) },
    el('summary', { 'data-key': `block ${label}` }, el('h3', {}, label, el('span', { class: 'unit' }, ` ${json}${size}`))),
    flat
      ? el('dl', { class: 'pairs' }, Object.entries(value).map(([name, it]) => el('div', {}, el('dt', {}, visible(name)), el('dd', {}, visible(it ?? 'null')))))
      : el('pre', { tabindex: 0, role: 'region', 'aria-label': label }, block(text)));
  return fold;
}
