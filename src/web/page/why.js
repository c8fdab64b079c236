// Why there is nothing to see: where the newest row is, what is watched, and what is ignored for which reason.

import { get } from './api.js';
import { el, visible } from './dom.js';
import { address, query, stretch, terms, unfiltered } from './filter.js';
import { ago, count, stamp } from './format.js';

const MOST = 5;

/** Returns an element that fills itself. `table`: log or requests. */
export function why(state, signal, table) {
  const place = el('div', { class: 'why', 'aria-busy': 'true' });
  const asked = [get('newest', query(state, undefined, { table }), signal), get('files', null, signal)];
  Promise.all(asked).then(([newest, files]) => {
    if (signal.aborted) return;
    place.append(...where(newest, state), ...watched(files), ...ignored(files));
  }).catch((error) => {
    // The view itself is there; this only explains it.
    if (!signal.aborted) place.append(el('p', {}, `Why could not be found out: ${error.message}`));
  }).finally(() => place.removeAttribute('aria-busy'));
  return place;
}

function where({ newest, matching, searched_to: searched }, state) {
  const filtered = terms(state).length > 0;
  const link = (time, changes = {}) => {
    const at = Date.parse(time);
    return el('a', { href: address(state, { ...changes, ...stretch(at - 1800e3, at + 60e3) }) }, `${stamp(time)} (${ago(time)})`);
  };
  if (!newest) return [el('p', {}, 'Nothing is stored yet.')];
  const said = [];
  if (filtered) {
    if (matching) said.push(el('p', {}, 'The newest row that meets the filter is of ', link(matching), '.'));
    else if (searched) said.push(el('p', {}, `Nothing meets the filter back to ${stamp(searched)}.`));
    else said.push(el('p', {}, 'No stored row meets the filter. ', el('a', { href: address(state, unfiltered()) }, 'Clear it')));
  }
  return [...said, el('p', {}, 'The newest row of all is of ', link(newest, unfiltered()), '.')];
}

/** Returns what is watched and followed, as text. */
export function watched({ watched: paths, files, open }) {
  const parts = (list) => list.flatMap((it, nth) => [nth ? ', ' : '', it]);
  const code = (path) => el('code', {}, visible(path));
  const followed = files.filter((file) => !file.closed_at).slice(0, MOST).map((file) => code(file.path));
  const more = open > followed.length ? ` and ${count(open - followed.length)} more` : '';
  return [
    paths.length ? el('p', {}, 'Watched: ', parts(paths.map(code)), '.') : el('p', {}, 'This page watches nothing itself.'),
    followed.length ? el('p', {}, 'Followed: ', parts(followed), `${more}.`) : el('p', {}, 'No file is followed.'),
  ];
}

function ignored({ ignored: list, ignored_count: all }) {
  if (!all) return [el('p', {}, 'No file is ignored.')];
  const shown = list.slice(0, MOST);
  const listed = shown.reduce((sum, file) => sum + file.files, 0);
  return [
    el('p', {}, `Ignored: ${count(all)} ${all === 1 ? 'file' : 'files'}`),
    el('ul', {}, shown.map((file) => el('li', {}, el('code', {}, visible(file.path)), `: ${visible(file.explanation)}`)),
      all > listed ? el('li', {}, el('a', { href: '?view=files' }, `${count(all - listed)} more`)) : null),
  ];
}
