// The overview: numbers and charts of the requests that meet the filter. What the server has not counted yet is
// an estimate: it is marked as one, and replaced as the counting goes on.

import { load, nothing, repeat, steps } from './api.js';
import { Chart } from './chart.js';
import { connect } from './cursor.js';
import { announce, replace } from './dom.js';
import { doubts } from './doubts.js';
import { address, go, query, read, stretch, terms, wider } from './filter.js';
import { brief, bytes, count, duration, each, moment, percent } from './format.js';
import { isLive, updated } from './live.js';
import { table } from './points.js';
import { slots } from './scale.js';
import { CLASSES, link, sum } from './series.js';
import * as tops from './top.js';
import { why } from './why.js';

const share = (n) => (point) => (sum(point.rows) ? point.rows[n] / sum(point.rows) : null);

const ERRORS = [
  { name: '5xx', style: 'c5', filter: '5xx', value: share(4) },
  { name: '4xx', style: 'c4 dashed', filter: '4xx', value: share(3) },
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
  link(section, state);
  // Without a filter one answer has everything: it needs no place among the long ones.
  const path = terms(state).length ? 'overview/progress' : 'overview';
  let busy = false;
  let rest = 0;
  const refresh = () => {
    // A filter that takes long to count is counted again more rarely.
    if (busy || Date.now() < rest) return undefined;
    const began = Date.now();
    busy = true;
    const step = (answer) => {
      draw(answer);
      updated(state);
      explain(answer, state, signal);
      if (answer.share < 1 && !answer.stopped) return;
      busy = false;
      rest = Date.now() + 4 * (Date.now() - began);
      if (rest - began > 5e3) announce(answer.stopped ? 'Counting has stopped' : `Counted: ${count(sum(answer.total.rows))} requests`);
    };
    return Promise.all([
      load(section, signal, () => steps(path, query(state), signal, step).catch((error) => {
        busy = false;
        throw error;
      }), step, section.querySelector('.trouble')),
      tops.show(state, signal),
    ]);
  };
  await refresh();
  if (isLive(state)) repeat(10e3, signal, refresh);
}

let explained; // the signal of the view that has been explained

function explain({ total, share }, state, signal) {
  const place = section.querySelector('.nothing');
  place.hidden = sum(total.rows) > 0 || share < 1;
  if (place.hidden) replace(place);
  if (place.hidden || explained === signal) return;
  explained = signal;
  replace(place, nothing('No requests in this range', why(state, signal, 'log')));
}

function draw(answer) {
  data = slots(answer);
  const { total } = answer;
  const all = sum(total.rows);
  const minutes = (data.to - data.from) / 60e3;
  const doubt = doubts(answer);
  const [rows, rest] = [doubt.rows ? about : same, doubt.rest ? about : same];
  const tiles = {
    requests: rows(brief(all)), rate: doubt.rows ? `± ${brief(answer.error)}` : `${rate(all / minutes)} per minute`,
    client: rows(percent(share(3)(total))), 'client-count': `${rows(count(total.rows[3]))} of 4xx`,
    server: rows(percent(share(4)(total))), 'server-count': `${rows(count(total.rows[4]))} of 5xx`,
    p50: rest(duration(total.p50)), p95: rest(duration(total.p95)), p99: rest(duration(total.p99)),
    bytes: rest(bytes(total.bytes)), 'mean-bytes': all ? `${rest(bytes(total.bytes / all))} each` : '',
  };
  const said = section.querySelector('.about-charts');
  said.textContent = doubt.words;
  said.hidden = !doubt.words;
  for (const [name, text] of Object.entries(tiles)) section.querySelector(`[data-tile="${name}"]`).textContent = text;
  section.querySelector('[data-tile=requests]').title = rows(count(all));

  estimated = doubt.rest;
  const unit = `per ${each(answer.step)}`;
  const [unitOfRows, unitOfRest] = [doubt.rows, doubt.rest].map((it) => (it ? `${unit}, estimated` : unit));
  const none = all ? '' : 'No requests in this range';
  const untimed = all && total.p50 === null ? 'This format has no durations: add %(D)s to Gunicorn’s --access-logformat' : none;
  charts[0].draw(data, total, unitOfRows, none);
  charts[1].draw(data, total, unitOfRest, untimed);
  charts[2].draw(data, total, unitOfRows, none);
  charts[3].draw(data, total, unitOfRest, none);
  cursor.reset();
  replace(section.querySelector('.chart-table'), table(data, COLUMNS, unitOfRest));
}

let estimated = false; // whether anything in the charts is
const same = (text) => text;
const about = (text) => (text === '–' ? text : `≈\u00a0${text}`);
const rate = (n) => (n === 0 ? '0' : n < 0.1 ? '<0.1' : n < 10 ? n.toFixed(1) : brief(Math.round(n)));

function sentence(at, anchor) {
  const point = data.list[at];
  const time = moment(data.start + at * data.step);
  const selected = anchor === null ? '' : `, ${Math.abs(at - anchor) + 1} selected`;
  if (!point) return `${time}: no requests${selected}`;
  const parts = COLUMNS.filter(({ value }) => value(point)).map(({ name, value, format = count }) => `${name} ${format(value(point))}`);
  return `${time}: ${parts.join(', ')}${estimated ? ', estimated' : ''}${selected}`;
}
