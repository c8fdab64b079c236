// The log view: lines of Gunicorn's access log, in pages or live.

import { load } from './api.js';
import { pick, status, when } from './cells.js';
import { detail } from './detail.js';
import { el } from './dom.js';
import { address, query, read } from './filter.js';
import { bytes, count, duration, stamp } from './format.js';
import { Rows } from './rows.js';
import { Tail } from './tail.js';

const KEPT = 500;
const FACTS = [
  ['timestamp', 'Time', stamp], ['method', 'Method', 'method'], ['url', 'URL', 'url'], ['protocol', 'Protocol'],
  ['code', 'Status', 'code'], ['duration', 'Duration', duration],
  ['response_bytes', 'Response', (n) => `${count(n)} bytes`], ['user_ip', 'Address', 'address'], ['user_id', 'User', 'user'],
  ['host', 'Host', 'host'], ['agent', 'User agent', 'agent'], ['source', 'Referer', 'text'], ['pid', 'Process'],
  ['route', 'Route', 'route'], ['request_id', 'Request id', 'request_id'], ['trace_id', 'Trace id', 'trace_id'],
  ['server', 'Server', 'server'], ['file', 'File'], ['log_offset', 'Offset', count], ['id', 'Id'], ['log_file', 'File number'],
];
const BLOCKS = [[['headers', 'Request headers']], [['response', 'Response']], [['request', 'Further data']]];

export const COLUMNS = [
  { key: 'time', label: 'Time', cell: when },
  { key: 'status', label: 'Status', cell: (row, state) => status(state, row.code) },
  { key: 'method', label: 'Method', cell: (row, state) => pick(state, 'method', row.method) },
  { key: 'url', label: 'URL', cell: (row, state) => pick(state, 'url', row.url) },
  { key: 'duration', label: 'Duration', cell: (row) => duration(row.duration) },
  { key: 'bytes', label: 'Size', cell: (row) => bytes(row.bytes) },
  { key: 'address', label: 'Address', cell: (row, state) => pick(state, 'address', row.address) },
  { key: 'user', label: 'User', cell: (row, state) => pick(state, 'user', row.user) },
  { key: 'agent', label: 'User agent', cell: (row, state) => pick(state, 'agent', row.agent) },
  { key: 'host', label: 'Host', cell: (row, state) => pick(state, 'host', row.host) },
];

let rows;
let before; // the state whose rows are all shown, if any

export function start(section) {
  rows = new Rows(section, {
    path: 'log', title: 'Log', columns: COLUMNS,
    detail: (row, state) => detail(row, state, { facts: FACTS, blocks: BLOCKS, other: ['requests', 'Request log of this request'] }),
    empty: () => el('p', {}, 'Nothing was logged, or the files are not followed: see ', el('a', { href: '?view=files' }, 'Files'), '.'),
  });
}

export async function show(state, signal) {
  const paused = before && !state.live && address(before, { live: undefined }) === address(state);
  if (paused) {
    // After a pause the shown lines stay for reading: they are not loaded again.
    rows.frame(state, signal);
    rows.page({ ...rows.answer, rows: rows.shown() });
    for (const link of rows.place.querySelectorAll('a')) {
      const there = read(link.search);
      link.href = address(there, { live: undefined, row: there.row });
    }
    return;
  }
  before = undefined;
  if (!state.live) {
    await rows.show(state, signal);
    return;
  }
  before = state;
  rows.frame(state, signal);
  const opened = () => load(rows.place, signal, () => rows.ask(state, signal, []), fresh);
  const tail = new Tail(query(state), {
    opened,
    received: add,
    lost: (reason = 'The connection is lost; trying again…') => {
      // For an invalid filter the event stream ends without a message. A list request returns one.
      if (rows.place.classList.contains('loading')) opened();
      rows.status.textContent = reason;
    },
  });
  signal.addEventListener('abort', () => tail.close());
}

let early = [];

// New lines may arrive before the first page of rows, which may already contain some of them.
function fresh(answer) {
  rows.answer = answer;
  rows.draw(answer);
  rows.pager.replaceChildren();
  rows.foot.replaceChildren();
  const waiting = early;
  early = [];
  add(waiting, false);
}

function add(list, skipped) {
  if (rows.place.hasAttribute('aria-busy')) {
    early.push(...list);
    if (early.length > KEPT) early.splice(0, early.length - KEPT);
  }
  if (!rows.body && list.length) fresh({ ...rows.answer, rows: [list[0]] });
  const added = list.filter((row) => !rows.find(row.id)).map((row) => rows.row(row));
  if (skipped) rows.body?.prepend(el('tr', { role: 'row', class: 'skipped' }, el('td', { role: 'cell', colspan: COLUMNS.length + 1 }, 'More lines came here than can be shown')));
  rows.body?.prepend(...added.reverse());
  for (const entry of added) entry.classList.add('new');
  const entries = rows.body ? [...rows.body.querySelectorAll('.entry')] : [];
  for (const entry of entries.slice(KEPT)) {
    if (entry.nextElementSibling?.matches('.more')) entry.nextElementSibling.remove();
    entry.remove();
    before = undefined; // older rows were removed, so the page is incomplete
  }
  rows.status.textContent = `Live: ${count(Math.min(entries.length, KEPT))} lines, newest first`;
}
