// The overview: numbers and charts of the requests that meet the filter. What the server has not counted yet is
// an estimate: it is marked as one, and replaced as the counting goes on.

import { nothing } from './api.js';
import * as changed from './changed.js';
import { Chart } from './chart.js';
import { counted } from './counted.js';
import { connect } from './cursor.js';
import { announce, replace } from './dom.js';
import { doubts } from './doubts.js';
import { go, read, stretch, wider } from './filter.js';
import { brief, bytes, count, duration, each, moment, percent } from './format.js';
import * as heat from './heat.js';
import { updated } from './live.js';
import * as marks from './marks.js';
import { Previous, differences } from './previous.js';
import { table } from './points.js';
import { slots } from './scale.js';
import { CLASSES, link, sum } from './series.js';
import * as tops from './top.js';
import { why } from './why.js';

const share = (n) => (point) => (sum(point.rows) ? point.rows[n] / sum(point.rows) : null);

// Each on its own scale: one failure in a thousand is a lot, and cannot be seen beside the usual 404s.
const FAILURES = [{ name: '5xx', style: 'c5', filter: '5xx', value: share(4) }];
const ERRORS = [{ name: '4xx', style: 'c4 dashed', filter: '4xx', value: share(3) }];
const HEAT = [{ name: 'most requests took', style: 'h6', value: (point) => heat.fullest(point.heat) }];
const took = (part) => (data?.bounds ? heat.words(data.bounds, part) : '–');
const TIMES = [
  { name: 'p50', style: 't50', value: (point) => point.p50 },
  { name: 'p95', style: 't95', value: (point) => point.p95 },
  { name: 'p99', style: 't99 dashed', value: (point) => point.p99 },
];
const SENT = [{ name: 'bytes', style: 'c2', value: (point) => point.bytes }];
const SPECS = {
  rows: { title: 'Requests', kind: 'bars', whole: true, empty: 0, series: CLASSES, format: brief, before: { name: 'before', value: (point) => sum(point.rows) } },
  heat: { title: 'How long requests took', compare: 'slow', kind: 'heat', log: true, series: HEAT, format: duration, formatOfSeries: (part) => took(part), before: { name: 'median before', value: (point) => point.p50 } },
  times: { title: 'Response time', compare: 'slow', kind: 'lines', log: true, series: TIMES, format: duration, before: { name: 'p95 before', value: (point) => point.p95 } },
  failures: { title: 'Server errors', compare: '5xx', kind: 'lines', series: FAILURES, format: percent, before: { name: 'before', value: share(4) } },
  errors: { title: 'Client errors', compare: '4xx', kind: 'lines', series: ERRORS, format: percent, before: { name: 'before', value: share(3) } },
  bytes: { title: 'Sent', kind: 'bars', empty: 0, series: SENT, format: bytes, before: { name: 'before', value: (point) => point.bytes } },
};
const COLUMNS = [
  ...[...CLASSES].reverse(), ...TIMES.map((series) => ({ ...series, format: duration })), { ...SENT[0], format: bytes }, { ...HEAT[0], format: took },
];

let section;
let charts;
let cursor;
let data;
let answer; // the last one, of which the period before is the counterpart
let found = []; // marks
let missing = []; // sentences about what belongs to the answer and was not loaded
const previous = new Previous();

export function start(place) {
  section = place;
  charts = Object.entries(SPECS).map(([name, spec]) => new Chart(place.querySelector(`[data-chart=${name}]`), spec));
  const span = (from, to) => [data.start + Math.min(from, to) * data.step, data.start + (Math.max(from, to) + 1) * data.step];
  const times = (from, to) => stretch(...span(from, to));
  cursor = connect(charts, {
    zoom: (from, to) => go(times(from, to)),
    out: () => go(wider(read())),
    open: (at) => go({ view: 'log', ...times(at, at) }),
    ask: (from, to, chart) => changed.ask(...span(from, to), chart.spec.compare),
    asking: () => changed.asking(),
    moved: (at, anchor) => announce(sentence(at, anchor)),
  });
  changed.start(place);
  for (const button of place.querySelectorAll('[data-compare]')) {
    button.addEventListener('click', () => { if (data) changed.ask(data.from, data.to, button.dataset.compare, 'before'); });
  }
  tops.start(place.querySelector('.tops'));
}

export async function show(state, signal) {
  previous.forget();
  found = [];
  missing = [];
  link(section, state);
  changed.show(state, signal);
  const beside = () => tops.show(state, signal);
  await counted({ place: section, trouble: section.querySelector('.trouble'), state, signal, beside }, (now, took) => {
    answer = now;
    draw();
    updated(state);
    explain(answer, state, signal);
    if (took === null) return;
    around(state, signal);
    if (took > 1e3) announce(answer.stopped ? 'Counting has stopped' : `Counted: ${count(sum(answer.total.rows))} requests`);
  });
}

// The period before and the marks come after the numbers themselves, which do not need them.
function around(state, signal) {
  missing = [];
  const failed = (what) => (error) => {
    if (signal.aborted) return;
    missing.push(`${what} could not be loaded: ${error.message}`);
    draw();
  };
  previous.load(data, state, signal, () => draw()).catch(failed('The period before'));
  marks.load(state, answer.step, signal).then((all) => {
    if (signal.aborted) return;
    found = all;
    marks.list(section.querySelector('.marks'), found, state);
    draw();
  }).catch(failed('Marks'));
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

function draw() {
  data = { ...slots(answer), bounds: answer.heat, marks: found, selected: changed.shown(), prior: previous.list(), priorTotal: previous.answer?.total };
  const total = { ...answer.total, heat: heat.total(data.list) };
  const compared = previous.answer ? differences(answer, previous.answer) : {};
  for (const place of section.querySelectorAll('[data-diff]')) {
    const { text = '', worse = false } = compared[place.dataset.diff] ?? {};
    place.textContent = text;
    place.classList.toggle('bad', worse);
  }
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
  said.textContent = [doubt.words, ...missing].filter(Boolean).join(' ');
  said.hidden = !said.textContent;
  for (const [name, text] of Object.entries(tiles)) section.querySelector(`[data-tile="${name}"]`).textContent = text;
  section.querySelector('[data-tile=requests]').title = rows(count(all));

  estimated = doubt.rest;
  const unit = `per ${each(answer.step)}`;
  const [unitOfRows, unitOfRest] = [doubt.rows, doubt.rest].map((it) => (it ? `${unit}, estimated` : unit));
  const none = all ? '' : 'No requests in this range';
  const untimed = all && total.p50 === null ? 'This format has no durations: add %(D)s to Gunicorn’s --access-logformat' : none;
  for (const [nth, name] of Object.keys(SPECS).entries()) {
    const isRest = ['heat', 'times', 'bytes'].includes(name);
    charts[nth].draw(data, total, isRest ? unitOfRest : unitOfRows, ['heat', 'times'].includes(name) ? untimed : none);
  }
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
