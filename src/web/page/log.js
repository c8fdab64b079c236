// The log view: lines of Gunicorn's access log, in pages or live.

import { load } from './api.js';
import { pick, status, when } from './cells.js';
import { detail } from './detail.js';
import { el, visible } from './dom.js';
import { address, query } from './filter.js';
import { bytes, count, duration, fraction, stamp } from './format.js';
import { isLive, updated } from './live.js';
import * as histogram from './histogram.js';
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
const LABELS = { route: 'Route', request_id: 'Request id', trace_id: 'Trace id' };
const SORTED = ['time', 'status', 'method', 'url', 'duration', 'bytes', 'address', 'user', 'agent'];
const BLOCKS = [[['headers', 'Request headers']], [['response', 'Response']], [['request', 'Further data']]];

const COLUMNS = [
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
  ...['route', 'request_id', 'trace_id'].map((key) => ({ key, label: LABELS[key], extra: true, cell: (row, state) => pick(state, key, row[key]) })),
  { key: 'referer', label: 'Referer', extra: true, cell: (row, state) => pick(state, 'text', row.referer) },
  { key: 'protocol', label: 'Protocol', extra: true, cell: (row) => visible(row.protocol ?? '–') },
].map((column) => ({ ...column, sorts: SORTED.includes(column.key) }));

let rows;
let before; // the state whose rows are all shown, if any

export function start(section) {
  section.append(el('h1', { class: 'hidden', tabindex: -1, id: 'log-title' }, 'Log'));
  histogram.start(section);
  rows = new Rows(section, {
    path: 'log', title: 'Log', columns: COLUMNS,
    detail: (row, state, signal) => detail(row, state, { facts: FACTS, blocks: BLOCKS, view: 'log', signal, other: ['requests', 'Request log of this request'] }),
  });
}

export async function show(state, signal) {
  await Promise.all([histogram.show(state, signal), list(state, signal)]);
}

async function list(state, signal) {
  const same = (one, other) => address({ ...one, live: undefined, row: undefined }) === address({ ...other, live: undefined, row: undefined });
  const paused = before && !isLive(state) && same(before, state);
  if (paused) {
    // After a pause the shown lines stay for reading: they are not loaded again.
    rows.frame(state, signal);
    rows.page({ ...rows.answer, rows: rows.shown() });
    return;
  }
  before = undefined;
  if (!isLive(state)) {
    await rows.show(state, signal);
    return;
  }
  before = state;
  rows.frame(state, signal);
  rows.place.setAttribute('aria-busy', 'true');
  let connected = false;
  const first = () => load(rows.place, signal, () => rows.ask(state, signal, []), fresh);
  const opened = () => {
    connected = true;
    return first();
  };
  const tail = new Tail(query(state), {
    opened,
    received: add,
    looked: () => updated(state),
    lost: (reason = 'The connection is lost; trying again…') => {
      // A stream that is refused ends without a message. A request for the list returns one.
      if (!connected) opened();
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
  if (skipped) rows.body?.prepend(el('tr', { role: 'row', class: 'skipped' }, el('td', { role: 'cell', colspan: rows.columns.length + 1 }, 'More lines came here than can be shown')));
  rows.body?.prepend(...added.reverse());
  for (const entry of added) entry.classList.add('new');
  const entries = rows.body ? [...rows.body.querySelectorAll('.entry')] : [];
  for (const entry of entries.splice(KEPT)) {
    if (entry.nextElementSibling?.matches('.more')) entry.nextElementSibling.remove();
    entry.remove();
    before = undefined; // older rows were removed, so the page is incomplete
    rows.page({ rows: [], older: cursor(entries.at(-1).row) });
  }
  rows.status.textContent = `Live: ${count(entries.length)} ${entries.length === 1 ? 'line' : 'lines'}, newest first`;
}

// A place in the list after a row, as the server writes it: microseconds, and the id.
function cursor({ timestamp, id }) {
  const micros = BigInt(Date.parse(timestamp)) * 1000n + BigInt(fraction(timestamp).slice(4).padEnd(3, '0').slice(0, 3));
  return `${micros}.${id}`;
}
