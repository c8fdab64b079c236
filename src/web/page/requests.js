// The requests view: an application's own request logs, with headers and bodies.

import { repeat } from './api.js';
import { pick, status, when } from './cells.js';
import { detail } from './detail.js';
import { el, visible } from './dom.js';
import { count, duration, stamp } from './format.js';
import { isLive } from './live.js';
import { Rows } from './rows.js';

const ms = (n) => duration(n === null ? null : n * 1000);
const FACTS = [
  ['timestamp', 'Time', stamp], ['method', 'Method', 'method'], ['path', 'Path', 'url'], ['query_params', 'Query'],
  ['status_code', 'Status', 'code'], ['response_time_ms', 'Duration', ms], ['ip_address', 'Address', 'address'],
  ['user_id', 'User', 'user'], ['user_agent', 'User agent', 'agent'], ['content_type', 'Content type'], ['session_id', 'Session'],
  ['route', 'Route', 'route'], ['request_id', 'Request id', 'request_id'], ['trace_id', 'Trace id', 'trace_id'],
  ['server', 'Server', 'server'], ['file', 'File'], ['log_offset', 'Offset', count], ['id', 'Id'], ['log_file', 'File number'],
];
const LABELS = { route: 'Route', request_id: 'Request id', trace_id: 'Trace id' };
const SORTED = ['time', 'status', 'method', 'url', 'duration', 'address', 'user', 'agent'];
const BLOCKS = [
  [['headers', 'Request headers'], ['body', 'Request body']],
  [['response_headers', 'Response headers'], ['response_body', 'Response body']],
  [['extra_data', 'Further data']],
];
const COLUMNS = [
  { key: 'time', label: 'Time', cell: when },
  { key: 'status', label: 'Status', cell: (row, state) => status(state, row.code) },
  { key: 'method', label: 'Method', cell: (row, state) => pick(state, 'method', row.method) },
  { key: 'url', label: 'Path', cell: (row, state) => pick(state, 'url', row.path) },
  { key: 'duration', label: 'Duration', cell: (row) => ms(row.duration_ms) },
  { key: 'address', label: 'Address', cell: (row, state) => pick(state, 'address', row.address) },
  { key: 'user', label: 'User', cell: (row, state) => pick(state, 'user', row.user) },
  { key: 'agent', label: 'User agent', extra: true, cell: (row, state) => pick(state, 'agent', row.agent) },
  ...['route', 'request_id', 'trace_id'].map((key) => ({ key, label: LABELS[key], extra: true, cell: (row, state) => pick(state, key, row[key]) })),
  { key: 'session', label: 'Session', extra: true, cell: (row) => visible(row.session ?? '–') },
  { key: 'content_type', label: 'Content type', extra: true, cell: (row) => visible(row.content_type ?? '–') },
].map((column) => ({ ...column, sorts: SORTED.includes(column.key) }));

let rows;

export function start(section) {
  section.append(el('h1', { class: 'hidden', tabindex: -1, id: 'requests-title' }, 'Request logs'));
  rows = new Rows(section, {
    path: 'requests', title: 'Request logs', columns: COLUMNS, exported: { table: 'requests' },
    detail: (row, state, signal) => detail(row, state, { facts: FACTS, blocks: BLOCKS, view: 'requests', signal, other: ['log', 'Access log of this request'] }),
    about: 'Request logs are lines of JSON that an application writes, for example with the Django package. They stand beside the access log, not in it.',
  });
}

export async function show(state, signal) {
  await rows.show(state, signal);
  if (isLive(state)) repeat(5e3, signal, () => { if (!state.row && !rows.place.querySelector('.more')) rows.show(state, signal); });
}
