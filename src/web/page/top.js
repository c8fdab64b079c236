// Lists of the most frequent routes, URLs, users and addresses, and of the slowest routes and URLs. Each entry links
// to a filter for it.

import { get, load, nothing } from './api.js';
import { term } from './cells.js';
import { el, replace, visible } from './dom.js';
import { address, query } from './filter.js';
import { brief, count, duration, percent, stamp } from './format.js';

const LIMIT = 8;
const LISTS = [
  { by: 'route', sort: 'requests', title: 'Routes' },
  { by: 'route-p95', sort: 'p95', title: 'Slowest routes' },
  { by: 'route-total', sort: 'total', title: 'Routes by total time' },
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

const ROUTES = {
  requests: [...MOST.slice(0, 2), ['p95', (item) => duration(item.p95)]],
  p95: [['p95', (item) => duration(item.p95)], ['Mean', (item) => duration(item.mean)], ['Requests', (item) => brief(item.rows)]],
  total: [['Total', (item) => duration(item.total)], ['p95', (item) => duration(item.p95)], ['Requests', (item) => brief(item.rows)]],
};
const MEASURES = { requests: (item) => item.rows, p95: (item) => item.p95 ?? 0, total: (item) => item.total };

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
  if (panel.sort) {
    const asked = query(state, undefined, { sort: panel.sort, limit: LIMIT });
    return load(panel.body, signal, () => get('routes', asked, signal), (answer) => {
      panel.note.textContent = ofRoutes(answer);
      table(panel, answer.items, ROUTES[panel.sort], MEASURES[panel.sort], (item) => route(state, item));
    });
  }
  const asked = query(state, undefined, { by: panel.by, limit: LIMIT });
  return load(panel.body, signal, () => get('top', asked, signal), (answer) => draw(panel, state, answer));
}

/** Says which requests a list of routes has: those of whole hours, or since routes are counted, or the newest. */
function ofRoutes({ counted, uncounted, counted_from: since, complete, from, to }) {
  if (since) return `without ${brief(uncounted)} requests: routes are counted since ${stamp(since)}`;
  if (!complete) return `of the newest ${count(counted)} requests`;
  const isHour = (text) => /:00:00Z$/.test(text);
  return isHour(from) && isHour(to) ? `whole hours from ${stamp(from)}` : '';
}

function draw(panel, state, answer) {
  const slow = panel.by === 'slow';
  const { items } = answer;
  panel.note.textContent = answer.complete ? '' : `of the newest ${count(answer.sampled)} requests`;
  const shown = slow && items.every((item) => item.mean === null) ? [] : items;
  table(panel, shown, slow ? SLOW : MOST, (item) => (slow ? item.mean ?? 0 : item.rows), (item) => entry(panel, state, item));
}

function table(panel, items, columns, measure, named) {
  if (!items.length) {
    const timed = panel.by === 'slow' || (panel.sort && panel.sort !== 'requests');
    replace(panel.body, timed
      ? nothing('No durations in this range', el('p', {}, 'Where requests are logged without: add ', el('code', {}, '%(D)s'), ' to Gunicorn’s ', el('code', {}, '--access-logformat'), '.'))
      : nothing('No requests in this range'));
    return;
  }
  const most = Math.max(...items.map(measure), 1);
  replace(panel.body, el('table', {},
    el('caption', { class: 'hidden' }, panel.title),
    el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, el('span', { class: 'hidden' }, panel.title)),
      columns.map(([name]) => el('th', { scope: 'col' }, name)))),
    el('tbody', {}, items.map((item) => {
      const row = el('tr', {}, el('th', { scope: 'row' }, named(item)),
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

function route(state, { route: name, other, filter }) {
  if (name === null) return el('span', { class: 'none' }, other ? 'others' : 'no URL');
  if (!filter) return el('bdi', { title: visible(name) }, visible(name));
  const [field, value] = filter;
  const chosen = state[field] === value;
  return el('a', {
    href: address(state, { [field]: chosen ? undefined : value }), title: visible(name), 'data-key': name,
    'aria-current': chosen ? 'true' : null, ...term(field, value),
  }, visible(name));
}
