// The overview: numbers and charts of traffic, errors and durations, from counts by minute and hour.

import { get, load, repeat } from './api.js';
import { Chart } from './chart.js';
import { connect } from './cursor.js';
import { announce, replace } from './dom.js';
import { address, filtered, go, query, read, stretch, wider } from './filter.js';
import { brief, bytes, count, duration, each, moment, percent } from './format.js';
import { table } from './points.js';
import { slots } from './scale.js';
import * as tops from './top.js';

// In the server's order: 1xx 2xx 3xx 4xx 5xx other.
const sum = (rows) => rows.reduce((total, n) => total + n, 0);
const share = (n) => (point) => (sum(point.rows) ? point.rows[n] / sum(point.rows) : null);

const ERRORS = [
  { name: '5xx', style: 'c5', filter: '5xx', value: share(4) },
  { name: '4xx', style: 'c4 dashed', filter: '4xx', value: share(3) },
];
const CLASSES = [
  { name: '5xx', style: 'c5', pattern: 'url(#hatch5)', filter: '5xx', value: (point) => point.rows[4] },
  { name: '4xx', style: 'c4', pattern: 'url(#hatch4)', filter: '4xx', value: (point) => point.rows[3] },
  { name: '3xx', style: 'c3', filter: '3xx', value: (point) => point.rows[2] },
  { name: '2xx', style: 'c2', filter: '2xx', value: (point) => point.rows[1] },
  { name: '1xx', style: 'c1', filter: '1xx', value: (point) => point.rows[0] },
  { name: 'other', style: 'c0', value: (point) => point.rows[5] },
];
const TIMES = [
  { name: 'p50', style: 't50', value: (point) => point.p50 },
  { name: 'p95', style: 't95', value: (point) => point.p95 },
  { name: 'p99', style: 't99 dashed', value: (point) => point.p99 },
];
const SENT = [{ name: 'bytes', style: 'c2', value: (point) => point.bytes }];
const SPECS = {
  rows: { title: 'Requests', kind: 'bars', whole: true, empty: 0, series: CLASSES, format: brief },
  times: { title: 'Response time', kind: 'lines', log: true, series: TIMES, format: duration },
  errors: { title: 'Error rate', kind: 'lines', series: ERRORS, format: percent },
  bytes: { title: 'Sent', kind: 'bars', empty: 0, series: SENT, format: bytes },
};
const COLUMNS = [
  ...[...CLASSES].reverse(), ...TIMES.map((series) => ({ ...series, format: duration })), { ...SENT[0], format: bytes },
];

let section;
let charts;
let cursor;
let data;

export function start(place) {
  section = place;
  charts = Object.entries(SPECS).map(([name, spec]) => new Chart(place.querySelector(`[data-chart=${name}]`), spec));
  const times = (from, to) => stretch(data.start + Math.min(from, to) * data.step, data.start + (Math.max(from, to) + 1) * data.step);
  cursor = connect(charts, {
    zoom: (from, to) => go(times(from, to)),
    out: () => go(wider(read())),
    open: (at) => go({ view: 'log', ...times(at, at) }),
    moved: (at, anchor) => announce(sentence(at, anchor)),
  });
  tops.start(place.querySelector('.tops'));
}

export async function show(state, signal) {
  section.querySelectorAll('[data-filter]').forEach((link) => {
    const chosen = state.code === link.dataset.filter;
    link.href = address(state, { code: chosen ? undefined : link.dataset.filter });
    link.toggleAttribute('aria-current', chosen);
  });
  const left = filtered(state).filter((field) => field !== 'server');
  section.querySelector('.about-charts').textContent = left.length
    ? 'Numbers and charts count all requests of the range; the lists below follow the filter.' : '';
  const refresh = () => Promise.all([
    load(section, signal, () => get('overview', query(state, ['server']), signal), draw, section.querySelector('.trouble')),
    tops.show(state, signal),
  ]);
  await refresh();
  if (state.live && !state.to) repeat(10e3, signal, refresh);
}

function draw(answer) {
  data = slots(answer);
  const { total } = answer;
  const all = sum(total.rows);
  const minutes = (data.to - data.from) / 60e3;
  const tiles = {
    requests: brief(all), rate: `${rate(all / minutes)} per minute`,
    client: percent(share(3)(total)), 'client-count': `${count(total.rows[3])} of 4xx`,
    server: percent(share(4)(total)), 'server-count': `${count(total.rows[4])} of 5xx`,
    p50: duration(total.p50), p95: duration(total.p95), p99: duration(total.p99),
    bytes: bytes(total.bytes), 'mean-bytes': all ? `${bytes(total.bytes / all)} each` : '',
  };
  for (const [name, text] of Object.entries(tiles)) section.querySelector(`[data-tile="${name}"]`).textContent = text;
  section.querySelector('[data-tile=requests]').title = count(all);

  const unit = `per ${each(answer.step)}`;
  const none = all ? '' : 'No requests in this range';
  const untimed = all && total.p50 === null ? 'This format has no durations: add %(D)s to Gunicorn’s --access-logformat' : none;
  charts[0].draw(data, total, unit, none);
  charts[1].draw(data, total, unit, untimed);
  charts[2].draw(data, total, unit, none);
  charts[3].draw(data, total, unit, none);
  cursor.reset();
  replace(section.querySelector('.chart-table'), table(data, COLUMNS, unit));
}

const rate = (n) => (n === 0 ? '0' : n < 0.1 ? '<0.1' : n < 10 ? n.toFixed(1) : brief(Math.round(n)));

function sentence(at, anchor) {
  const point = data.list[at];
  const time = moment(data.start + at * data.step);
  const selected = anchor === null ? '' : `, ${Math.abs(at - anchor) + 1} selected`;
  if (!point) return `${time}: no requests${selected}`;
  const parts = COLUMNS.filter(({ value }) => value(point)).map(({ name, value, format = count }) => `${name} ${format(value(point))}`);
  return `${time}: ${parts.join(', ')}${selected}`;
}
