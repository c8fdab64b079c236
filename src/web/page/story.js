// The whole story of a request: its lines in both logs, and what its session and its address did before and after it.

import { get, load, nothing } from './api.js';
import { status } from './cells.js';
import { el, replace, visible } from './dom.js';
import { address, stretch, unfiltered } from './filter.js';
import { count, duration, fraction, seconds } from './format.js';

let unfolded = false; // as the reader left it at the row before

/** Returns the part of a row's details that loads the story when it is opened. `view`: log or requests. */
export function story(row, state, view, signal) {
  const place = el('div', { class: 'story-rows' });
  const open = () => {
    if (!place.hasChildNodes()) load(place, signal, () => get(`${view}/${encodeURIComponent(row.id)}/story`, null, signal), (answer) => replace(place, told(answer, row, state)));
  };
  const fold = el('details', { class: 'story', open: unfolded, ontoggle: () => {
    unfolded = fold.open;
    if (fold.open) open();
  } }, el('summary', {}, el('h3', {}, 'The whole story')), place);
  if (unfolded) open();
  return fold;
}

function told({ access, requests, session, address: neighbours }, row, state) {
  const of = (view, list) => list.map((it) => ({ ...it, view, url: it.url ?? it.path, took: it.duration ?? (it.duration_ms == null ? null : it.duration_ms * 1000) }));
  const own = new Set([row.id, ...access.map(({ id }) => id), ...requests.map(({ id }) => id)]);
  const groups = [
    ['This request', [...of('log', access), ...of('requests', requests)]],
    ['The same session', of('requests', session)],
    ['The same address', of('log', neighbours)],
  ].filter(([, list]) => list.length);
  if (!groups.length) return nothing('Nothing else is known of this request');
  return groups.map(([title, list], nth) => el('section', {}, el('h4', {}, title, el('span', { class: 'unit' }, ` ${count(list.length)} ${list.length === 1 ? 'line' : 'lines'}`)),
    el('ol', {}, list.sort((one, other) => Date.parse(one.timestamp) - Date.parse(other.timestamp)).map((it) => line(it, row, state, nth > 0 && own.has(it.id))))));
}

function line(it, row, state, isOwn) {
  const at = Date.parse(it.timestamp);
  const apart = (at - Date.parse(row.timestamp)) * 1000;
  return el('li', { 'aria-current': isOwn ? 'true' : null },
    el('time', { datetime: it.timestamp }, seconds(at), el('span', { class: 'fraction' }, fraction(it.timestamp).slice(0, 4))),
    el('span', { class: 'unit apart' }, apart ? `${apart < 0 ? '−' : '+'}${duration(Math.abs(apart))}` : '±0'),
    el('span', {}, status(state, it.code)), el('span', { class: 'unit' }, it.view === 'log' ? 'access' : 'request'), el('span', {}, visible(it.method ?? '')),
    el('a', { class: 'url', 'data-key': `story ${it.view} ${it.id}`, href: address(state, { ...unfiltered(), ...stretch(at - 600e3, at + 600e3), sort: undefined, view: it.view, row: it.id }) }, visible(it.url ?? '–')),
    el('span', { class: 'took' }, duration(it.took)));
}
