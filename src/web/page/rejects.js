// Rejected lines: the reason and the line itself, once for equal ones that follow each other.

import { get, load, nothing } from './api.js';
import { el, replace, visible } from './dom.js';
import { address } from './filter.js';
import { count, stamp } from './format.js';

let place;
let head;
let codes;
let foot;

export function start(section) {
  head = el('p', { class: 'note' });
  codes = el('ul', { class: 'codes' });
  place = el('div', { class: 'rejects loading' });
  foot = el('div', { class: 'rows-foot' });
  section.append(el('div', { class: 'panel', id: 'rejects' }, el('h2', {}, 'Rejected lines'), head, codes, place, foot));
}

export function show(state, signal) {
  const asked = new URLSearchParams();
  for (const key of ['before', 'file']) if (state[key]) asked.set(key, state[key]);
  replace(head,
    'Each line that cannot be read is kept with its exact bytes; ', el('code', {}, 'log-ingestd reparse'), ' reads them once more. ',
    state.file ? el('a', { href: address(state, { file: undefined }), class: 'button', 'data-key': 'all' }, 'Show those of all files') : null);
  return load(place, signal, () => get('rejects', asked, signal), (answer) => draw(answer, state));
}

// By cause, the most frequent first. The server's own lines are no requests: they are not marked.
function drawCodes(groups, most) {
  const all = groups.reduce((total, group) => total + group.rows, 0);
  replace(codes, groups.map((group) => el('li', { title: group.remedy },
    el('strong', { class: group.unexpected ? 'bad' : null }, count(group.lines)), ` ${group.words ?? group.code}`)),
  all === most ? el('li', {}, `of the newest ${count(most)} different ones`) : null);
}

function draw({ rows, older, codes: groups, most }, state) {
  if (!state.before) drawCodes(groups, most);
  replace(foot, state.before ? el('a', { class: 'button', href: address(state, { before: undefined }) }, 'Newest') : null,
    older ? el('a', { class: 'button', href: address(state, { before: older }) }, 'Older') : null);
  if (!rows.length) {
    replace(place, nothing(state.file ? 'No rejected lines of this file' : 'No rejected lines', el('p', {}, 'Every line that was read became a row, or was left out by the configuration.')));
    return;
  }
  replace(place, el('ul', {}, rows.map((row) => el('li', {},
    el('p', { class: 'reason' }, visible(row.reason)),
    el('p', { class: 'sub' }, el('a', { href: address(state, { file: String(row.file) }) }, visible(row.path)),
      ` · offset ${count(row.offset)} · `, row.repeats > 1 ? `${count(row.repeats)} equal lines from there on · ` : null, el('time', { datetime: row.rejected_at }, stamp(row.rejected_at))),
    el('pre', { tabindex: 0, role: 'region', 'aria-label': `Line at offset ${count(row.offset)}` }, visible(row.raw))))));
}
