// What changed? By which values the requests of a selected stretch differ from others, the cause first. What the server has
// not read yet is an estimate: its error is shown, and the list becomes exact while the panel is open.

import { load, nothing, steps } from './api.js';
import { term } from './cells.js';
import { announce, el, replace, visible } from './dom.js';
import { address, go, query, read, selected, selection, stretch } from './filter.js';
import { count, duration, moment, percent, seconds, stamp } from './format.js';

const COMPARED = { requests: 'Requests', '5xx': 'Server errors', '4xx': 'Client errors', slow: 'Slow requests' };
const BASELINES = { rest: 'the rest of the range', before: 'the period before' };
const DIMENSIONS = {
  route: 'Route', url: 'URL', status: 'Status', method: 'Method', address: 'Address', network: 'Network', user: 'User',
  agent: 'Agent', host: 'Host', server: 'Server', worker: 'Worker',
};
const BAD = { '5xx': 'failed', '4xx': 'were refused', slow: 'were slow' };

let panel;
let asks; // the button that makes the next selection a question
let hint;
let open = null; // the stretch that is shown

export function start(section) {
  panel = section.querySelector('.changed');
  asks = section.querySelector('.asks button');
  hint = section.querySelector('.asks .hint');
  asks.addEventListener('click', () => asking(asks.getAttribute('aria-pressed') !== 'true'));
  panel.addEventListener('keydown', (event) => { if (event.key === 'Escape') close(); });
}

/** Returns whether the next selection in a chart is a question, and sets that. */
export function asking(on) {
  if (on === undefined) return asks?.getAttribute('aria-pressed') === 'true';
  asks.setAttribute('aria-pressed', on);
  hint.textContent = on ? 'Drag over a stretch of any chart, or select it there with Shift and the arrow keys, and press Enter.' : '';
  if (on) announce(hint.textContent);
  return on;
}

/** Asks what changed in a stretch, in milliseconds. */
export function ask(from, to, compare, baseline) {
  if (asks) asking(false);
  go({ view: 'overview', ...selection(from, to), compare: compare === 'requests' ? undefined : compare, baseline });
}

function close() {
  go({ stretch: undefined, compare: undefined, baseline: undefined });
  asks.focus();
}

export async function show(state, signal) {
  const chosen = selected(state);
  panel.hidden = !chosen;
  if (!chosen) {
    open = null;
    replace(panel);
    return;
  }
  const compare = state.compare in COMPARED ? state.compare : 'requests';
  const baseline = state.baseline in BASELINES ? state.baseline : 'rest';
  const title = el('h2', { id: 'changed-title', tabindex: -1 }, 'What changed?');
  const list = el('div', { class: 'differences loading', 'data-key': 'list' });
  const said = el('p', { class: 'note' });
  const choice = (name, all, is, changes) => el('div', { class: 'choices', role: 'group', 'aria-label': name }, Object.entries(all).map(([key, label]) =>
    el('button', { type: 'button', 'data-key': `${name} ${key}`, 'aria-pressed': String(key === is), onclick: () => go(changes(key), { again: true }) }, label)));
  replace(panel, title,
    el('button', { type: 'button', class: 'close', 'aria-label': 'Close', onclick: close }, el('span', { 'aria-hidden': 'true' }, '×')),
    el('p', { class: 'sub' }, `${moment(chosen.from)} – ${seconds(chosen.to)}, against`),
    choice('Compared with', BASELINES, baseline, (key) => ({ baseline: key === 'rest' ? undefined : key })),
    choice('What is compared', COMPARED, compare, (key) => ({ compare: key === 'requests' ? undefined : key })),
    said, list);
  if (open !== state.stretch) title.focus();
  open = state.stretch;
  let first = true;
  const draw = (answer) => {
    said.textContent = words(answer, compare, baseline);
    const limit = Math.max(...answer.items.flatMap(({ here, there }) => [here.share, there.share]), 1e-9);
    replace(list, answer.items.length
      ? el('ol', {}, answer.items.map((item) => entry(item, { state, chosen, compare, limit })))
      : nothing(answer.share < 1 && !answer.stopped ? 'Nothing stands out so far' : 'Nothing stands out', el('p', {}, none(answer, compare !== 'requests'))));
    if (first) announce(answer.items.length ? `What changed: first is ${name(answer.items[0])}` : 'What changed: nothing stands out');
    first = false;
  };
  const asked = query(state, undefined, {
    selected_from: new Date(chosen.from).toISOString(), selected_to: new Date(chosen.to).toISOString(), baseline, compare,
  });
  await load(list, signal, () => steps('changes/progress', asked, signal, draw), draw);
}

const name = ({ dimension, value }) => `${DIMENSIONS[dimension] ?? dimension} ${visible(value)}`;

function none({ selection: here, baseline: there, bound, share }, compared) {
  if (!here.rows) return 'The selection has no requests of this kind.';
  if (!there.rows) return 'There is nothing to compare the selection with: the baseline has no requests of this kind.';
  if (bound === null && here.share === 0 && there.share === 0) return 'No request of either side is of this kind.';
  if (compared && share === 1 && here.share > there.share * 1.2) return 'There are more of them here, whatever the value.';
  return 'No value differs by more than chance explains.';
}

/** Returns what is compared, how much of it is read, and what is missing, as sentences. */
export function words({ selection: here, baseline: there, share, stopped, bound, gone_before: gone, forgetful }, compare, baseline) {
  const said = [];
  const of = (part) => `${share < 1 ? '≈\u00a0' : ''}${percent(part.share)}`;
  if (compare !== 'requests' && here.rows) {
    const slow = compare === 'slow' && bound ? ` (${duration(bound)} or longer)` : '';
    said.push(`${of(here)} ${BAD[compare]}${slow} here, ${of(there)} in ${BASELINES[baseline]}.`);
  }
  if (share < 1) {
    const read = `Estimates, from ${percent(here.read)} of the selection’s requests and ${percent(there.read)} of the others`;
    said.push(stopped ? `${read}: ${stopped}.` : `${read}, until all are read.`);
  } else {
    said.push(`From all ${count(here.rows)} requests of the selection and ${count(there.rows)} others.`);
  }
  if (gone) said.push(`Rows before ${stamp(gone)} were removed from the log, and are missing here.`);
  if (forgetful?.length) said.push(`There are too many values of ${forgetful.map((it) => DIMENSIONS[it] ?? it).join(', ')} to count them all: rare ones are left out, or their numbers are too low.`);
  return said.join(' ');
}

function entry(item, { state, chosen, compare, limit }) {
  const { here, there, explains, row, same, filter } = item;
  const bar = (side, label, { share, error }) => {
    const shown = el('span', { class: `bar ${side}` });
    shown.style.setProperty('--share', share / limit);
    return el('div', {}, el('span', { class: 'side' }, label), shown, el('span', { class: 'share' }, `${percent(share)}${error > 0 ? ` ± ${percent(error)}` : ''}`));
  };
  const notes = [];
  if (explains !== null) notes.push(`${percent(explains)} of what is more`);
  if (compare === 'requests') notes.push(here.share > there.share ? 'more than usual' : 'fewer than usual');
  return el('li', {},
    el('div', { class: 'named' }, el('span', { class: 'what' }, DIMENSIONS[item.dimension] ?? item.dimension), value(item, filter, state),
      same.length ? el('span', { class: 'what also' }, `also ${same.map(name).join(', ')}`) : null),
    el('div', { class: 'bars' }, bar('here', 'here', here), bar('there', 'else', there)),
    el('p', { class: 'note' }, notes.map((text) => `${text} · `),
      el('a', { href: address(state, { view: 'log', ...stretch(chosen.from, chosen.to), row }), 'data-key': `example ${item.dimension} ${item.value}` }, 'Example')));
}

function value(item, filter, state) {
  const text = visible(item.value);
  if (!filter) return el('bdi', {}, text);
  const [field, wanted] = filter;
  return el('a', {
    href: address(state, { [field]: wanted }), title: `${text}\nAlt-click: all but these`, 'data-key': `value ${item.dimension} ${item.value}`, ...term(field, wanted),
  }, text);
}

/** Returns the selected stretch in milliseconds, for the charts. */
export const shown = () => selected(read());
