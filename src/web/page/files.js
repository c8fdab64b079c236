// The files view: followed files with their offsets and counts of lines, and the last sweep.

import { get, load, nothing, repeat } from './api.js';
import { el, replace, visible } from './dom.js';
import { address } from './filter.js';
import { ago, bytes, count, stamp } from './format.js';
import { isLive, updated } from './live.js';
import * as rejects from './rejects.js';
import { watched } from './why.js';

const COLUMNS = ['File', 'Stored', 'Behind', 'Lines', 'Rows', 'Rejected', 'Excluded', 'Lost', 'Last commit', 'State'];
const IGNORED = ['File', 'Size', 'Since', 'Reason'];

let tiles;
let table;
let ignored;

export function start(section) {
  tiles = el('dl', { class: 'tiles' });
  table = el('div', { class: 'scroll loading', tabindex: 0, role: 'region', 'aria-label': 'Files' });
  section.append(el('h1', { class: 'hidden', tabindex: -1, id: 'files-title' }, 'Files'), tiles,
    el('div', { class: 'panel' }, el('h2', {}, 'Files'), table));
  replace(tiles, ['Followed', 'Ignored', 'Behind', 'Rows', 'Rejected', 'Lost', 'Last sweep', 'Next sweep'].map((name) => tile(name, '–', '')));
  rejects.start(section);
  // Last, so that nothing moves when it appears.
  section.append(ignored = el('div', { class: 'panel', hidden: true }));
}

export async function show(state, signal) {
  const refresh = () => load(table, signal, () => get('files', null, signal), (answer) => draw(answer, state));
  await Promise.all([refresh(), rejects.show(state, signal)]);
  if (isLive({ ...state, before: undefined })) repeat(5e3, signal, refresh);
}

const tile = (name, text, sub, bad) => el('div', {}, el('dt', {}, name), el('dd', { class: bad ? 'bad' : null }, text), el('dd', { class: 'sub' }, sub));

function draw(answer, state) {
  updated(state);
  const { files, sweep, retention } = answer;
  const sum = (key) => files.reduce((total, file) => total + (file[key] ?? 0), 0);
  const removed = sweep ? sweep.gunicorn_removed + sweep.request_removed + sweep.rejected_removed : 0;
  const share = sum('lines') ? ` of ${count(sum('lines'))} lines` : '';
  replace(tiles,
    tile('Followed', count(answer.open), `${count(answer.ended)} ended`),
    tile('Ignored', count(answer.ignored_count), answer.ignored_count ? 'with reasons below' : 'nothing is left out'),
    tile('Behind', bytes(sum('lag')), 'not stored yet'),
    tile('Rows', count(sum('rows')), share.trim()),
    tile('Rejected', count(sum('rejected')), 'kept as they are', sum('rejected')),
    tile('Lost', bytes(sum('lost_bytes')), 'gone before read', sum('lost_bytes')),
    tile('Last sweep', sweep ? ago(sweep.finished_at) : 'none yet', sweep ? `${count(removed)} rows removed` : ''),
    tile('Next sweep', sweep?.next_at ? ago(sweep.next_at) : '–', retention === 'off' ? 'rows are kept for ever' : `keeps ${retention}, counts ${answer.rollup_retention}`));
  drawIgnored(answer);
  document.querySelector('.version').textContent = ` ${answer.version}, ${answer.store === 'postgres' ? 'PostgreSQL' : 'SQLite'}`;
  if (!files.length) {
    replace(table, nothing('No file is followed yet', watched(answer), answer.ignored_count ? el('p', {}, 'Files that are ignored are listed below, with the reason.') : null));
    return;
  }
  replace(table, el('table', { class: 'files', role: 'table' },
    el('caption', { class: 'hidden' }, 'Files, followed ones first'),
    el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, COLUMNS.map((name) => el('th', { scope: 'col', role: 'columnheader' }, name)))),
    el('tbody', { role: 'rowgroup' }, files.map((file) => named(row(file, state), COLUMNS)))),
  answer.more ? el('p', { class: 'note' }, `${count(answer.more)} more are not shown`) : null);
}

// On a narrow screen rows are cards, whose cells show their names, and a browser does not expose them as a table.
function named(row, names) {
  row.setAttribute('role', 'row');
  [...row.children].forEach((cell, nth) => {
    cell.setAttribute('role', nth ? 'cell' : 'rowheader');
    cell.dataset.name = names[nth];
  });
  return row;
}

function drawIgnored(answer) {
  const listed = answer.ignored.reduce((total, file) => total + file.files, 0);
  ignored.hidden = !answer.ignored.length;
  replace(ignored, el('h2', {}, 'Ignored files'),
    el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Ignored files' },
      el('table', { class: 'files ignored', role: 'table' },
        el('caption', { class: 'hidden' }, 'Files that a watched path matches and that are not followed'),
        el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, IGNORED.map((name) => el('th', { scope: 'col', role: 'columnheader' }, name)))),
        el('tbody', { role: 'rowgroup' }, answer.ignored.map((file) => named(ignoredRow(file), IGNORED)))),
      answer.ignored_count > listed ? el('p', { class: 'note' }, `${count(answer.ignored_count - listed)} more are not shown`) : null));
}

function ignoredRow(file) {
  const name = file.files > 1 ? `${count(file.files)} more files of ${visible(file.path)}` : visible(file.path);
  const detail = file.detail ? ` (${visible(file.detail)})` : '';
  return el('tr', {},
    el('th', { scope: 'row', class: 'file', title: visible(file.path) }, el('span', { class: 'name' }, name),
      el('span', { class: 'sub' }, `${visible(file.server)} · confirmed ${ago(file.seen_at)}`)),
    el('td', {}, file.bytes === null ? '–' : bytes(file.bytes)),
    el('td', {}, el('time', { datetime: file.since, title: stamp(file.since) }, ago(file.since))),
    el('td', { class: 'state' }, el('span', { class: 'reason' }, visible(file.reason)), `: ${visible(file.explanation)}${detail}`));
}

function row(file, state) {
  const [directory, name] = [file.path.slice(0, file.path.lastIndexOf('/') + 1), file.path.slice(file.path.lastIndexOf('/') + 1)];
  const part = file.size ? Math.min(1, file.committed / file.size) : 1;
  const bar = el('span', { class: 'part', 'aria-hidden': 'true' });
  bar.style.setProperty('--share', part);
  return el('tr', { class: file.closed_at ? 'ended' : null },
    el('th', { scope: 'row', class: 'file', title: visible(file.path) },
      el('span', { class: 'name' }, el('span', { class: 'unit' }, visible(directory)), visible(name)),
      el('span', { class: 'sub' }, el('a', { href: address(state, { view: 'log', server: file.server }) }, visible(file.server)), ` · ${visible(file.format)}`)),
    el('td', {}, bytes(file.committed), bar),
    el('td', {}, file.lag === null ? '–' : bytes(file.lag)),
    el('td', {}, count(file.lines)), el('td', {}, count(file.rows)),
    el('td', {}, file.rejected ? el('a', { href: address(state, { file: String(file.id) }), class: 'bad', 'data-key': `file-${file.id}` }, count(file.rejected)) : '0'),
    el('td', {}, count(file.excluded)),
    el('td', { class: file.lost_bytes ? 'bad' : null }, file.lost_bytes ? bytes(file.lost_bytes) : '0'),
    el('td', {}, el('time', { datetime: file.committed_at, title: stamp(file.committed_at) }, ago(file.committed_at))),
    el('td', { class: 'state' }, file.closed_at ? `Ended ${ago(file.closed_at)}${file.closed_reason ? `: ${visible(file.closed_reason)}` : ''}` : file.owner ? `Followed by ${visible(file.owner)}` : 'Open'));
}
