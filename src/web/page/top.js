// Lists of the most frequent URLs, users and addresses, and of the slowest URLs. Each entry links to a
// filter for it.

import { get, load, nothing } from './api.js';
import { term } from './cells.js';
import { el, replace, visible } from './dom.js';
import { address, query } from './filter.js';
import { brief, count, duration, percent } from './format.js';

const LIMIT = 8;
const LISTS = [
  { by: 'url', title: 'URLs', field: 'url' },
  { by: 'slow', title: 'Slowest URLs', field: 'url' },
  { by: 'address', title: 'Addresses', field: 'address' },
  { by: 'user', title: 'Users', field: 'user' },
  { by: 'agent', title: 'User agents', field: 'agent' },
  { by: 'host', title: 'Hosts', field: 'host' },
];
const MOST = [
  ['Requests', (item) => brief(item.rows)],
  ['Errors', (item) => percent(item.errors / item.rows)],
  ['Mean', (item) => duration(item.mean)],
];
const SLOW = [
  ['Mean', (item) => duration(item.mean)],
  ['Slowest', (item) => duration(item.max)],
  ['Requests', (item) => brief(item.rows)],
];

let panels;

export function start(place) {
  panels = LISTS.map((list) => {
    const note = el('p', { class: 'note' });
    const body = el('div', { class: 'list loading', tabindex: 0, role: 'region', 'aria-label': list.title });
    place.append(el('div', { class: 'panel', 'data-by': list.by }, el('h2', {}, list.title), note, body));
    return { ...list, note, body };
  });
}

/** Loads the lists, two at a time: the server has few connections to the database, and the charts need one, too. */
export async function show(state, signal) {
  const left = [...panels];
  for (const { body } of left) body.setAttribute('aria-busy', 'true');
  const some = async () => {
    for (let panel = left.shift(); panel && !signal.aborted; panel = left.shift()) await one(panel, state, signal);
  };
  await Promise.all([some(), some()]);
}

function one(panel, state, signal) {
  const asked = query(state, undefined, { by: panel.by, limit: LIMIT });
  return load(panel.body, signal, () => get('top', asked, signal), (answer) => draw(panel, state, answer));
}

function draw(panel, state, answer) {
  const slow = panel.by === 'slow';
  const items = answer.items;
  panel.note.textContent = answer.complete ? '' : `of the newest ${count(answer.sampled)} requests`;
  if (!items.length || (slow && items.every((item) => item.mean === null))) {
    replace(panel.body, slow
      ? nothing('No durations in this range', el('p', {}, 'Where requests are logged without: add ', el('code', {}, '%(D)s'), ' to Gunicorn’s ', el('code', {}, '--access-logformat'), '.'))
      : nothing('No requests in this range'));
    return;
  }
  const columns = slow ? SLOW : MOST;
  const measure = (item) => (slow ? item.mean ?? 0 : item.rows);
  const most = Math.max(...items.map(measure), 1);
  replace(panel.body, el('table', {},
    el('caption', { class: 'hidden' }, panel.title),
    el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, el('span', { class: 'hidden' }, panel.title)),
      columns.map(([name]) => el('th', { scope: 'col' }, name)))),
    el('tbody', {}, items.map((item) => {
      const row = el('tr', {}, el('th', { scope: 'row' }, entry(panel, state, item)),
        columns.map(([name, text]) => el('td', { class: name === 'Errors' && item.errors ? 'bad' : null }, text(item))));
      row.style.setProperty('--share', measure(item) / most);
      return row;
    }))));
}

function entry({ field }, state, { value }) {
  if (value === null || value === '') return el('span', { class: 'none' }, 'none');
  const chosen = state[field] === value;
  return el('a', {
    href: address(state, { [field]: chosen ? undefined : value }), title: visible(value), 'data-key': value,
    'aria-current': chosen ? 'true' : null, ...term(field, value),
  }, visible(value));
}
