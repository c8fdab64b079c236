// Rejected lines by reason: how many, what to do, and the lines themselves, once for equal ones that follow each other.

import { get, load, nothing } from './api.js';
import { el, replace, visible } from './dom.js';
import { address } from './filter.js';
import { count, stamp } from './format.js';

// Lines that a group shows before all of its reason are asked for.
const SOME = 5;

let place;
let head;

export function start(section) {
  head = el('p', { class: 'note' });
  place = el('div', { class: 'rejects loading' });
  section.append(el('div', { class: 'panel', id: 'rejects' }, el('h2', {}, 'Rejected lines'), head, place));
}

export function show(state, signal) {
  const one = state.file || state.reason;
  replace(head,
    'Each line that cannot be read is kept with its exact bytes; ', el('code', {}, 'log-ingestd reparse'), ' reads them once more. ',
    one ? el('a', { href: address(state, { file: undefined, reason: undefined }), class: 'button', 'data-key': 'all' }, 'Show all') : null);
  const asked = new URLSearchParams({ limit: state.reason ? '50' : '1' });
  for (const key of ['before', 'file', 'reason']) if (state[key]) asked.set(key, state[key]);
  const draw = (answer) => replace(place, state.reason ? listed(answer, state) : grouped(answer, state, signal));
  return load(place, signal, () => get('rejects', asked, signal), draw);
}

// The most frequent first, whose lines are shown at once. The server's own lines are no requests: they are not marked.
function grouped({ codes, most }, state, signal) {
  if (!codes.length) return none(state);
  const all = codes.reduce((total, group) => total + group.rows, 0);
  const first = codes.find(({ unexpected }) => unexpected) ?? codes[0];
  return [
    ...codes.map((group) => {
      const lines = el('div', { class: 'lines' });
      const open = () => {
        if (lines.hasChildNodes()) return;
        const asked = new URLSearchParams({ limit: SOME, reason: group.code, ...(state.file ? { file: state.file } : {}) });
        load(lines, signal, () => get('rejects', asked, signal), ({ rows, older }) => replace(lines, items(rows, state),
          older ? el('a', { class: 'button', href: address(state, { reason: group.code }) }, `All ${count(group.lines)}`) : null));
      };
      const details = el('details', { 'data-reason': group.code, open: group === first, ontoggle: () => { if (details.open) open(); } },
        el('summary', {}, el('strong', { class: group.unexpected ? 'bad' : null }, count(group.lines)), ` ${group.words ?? visible(group.code)}`),
        group.remedy ? el('p', { class: 'note' }, `${group.remedy[0].toUpperCase()}${group.remedy.slice(1)}.`) : null, lines);
      if (details.open) open();
      return details;
    }),
    all === most ? el('p', { class: 'note' }, `Counts are of the newest ${count(most)} different ones.`) : null,
  ];
}

function listed({ rows, older }, state) {
  if (!rows.length) return none(state);
  return [
    items(rows, state),
    el('div', { class: 'rows-foot' }, state.before ? el('a', { class: 'button', href: address(state, { before: undefined }) }, 'Newest') : null,
      older ? el('a', { class: 'button', href: address(state, { before: older }) }, 'Older') : null),
  ];
}

const none = (state) => nothing(state.file ? 'No rejected lines of this file' : 'No rejected lines',
  el('p', {}, 'Every line that was read became a row, or was left out by the configuration.'));

const items = (rows, state) => el('ul', {}, rows.map((row) => el('li', {},
  el('p', { class: 'reason' }, visible(row.reason)),
  el('p', { class: 'sub' }, el('a', { href: address(state, { file: String(row.file) }) }, visible(row.path)),
    ` · offset ${count(row.offset)} · `, row.repeats > 1 ? `${count(row.repeats)} equal lines from there on · ` : null, el('time', { datetime: row.rejected_at }, stamp(row.rejected_at))),
  el('pre', { tabindex: 0, role: 'region', 'aria-label': `Line at offset ${count(row.offset)}` }, visible(row.raw)))));
