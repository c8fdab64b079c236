// The requests of the range above their list, by the filter of the list.

import { load, repeat, steps } from './api.js';
import { Chart } from './chart.js';
import { connect } from './cursor.js';
import { announce, el } from './dom.js';
import { doubts } from './doubts.js';
import { go, query, read, stretch, terms, wider } from './filter.js';
import { brief, count, each, moment } from './format.js';
import { isLive } from './live.js';
import { slots } from './scale.js';
import { CLASSES, link, sum } from './series.js';

let figure;
let trouble;
let chart;
let cursor;

export function start(section) {
  figure = el('figure', { class: 'chart slim', 'data-chart': 'histogram' });
  trouble = el('div', { class: 'trouble' });
  section.append(trouble, figure);
  chart = new Chart(figure, { title: 'Requests over time', kind: 'bars', whole: true, empty: 0, series: CLASSES, format: brief });
  const range = (from, to) => go(stretch(chart.timeOf(Math.min(from, to)) - chart.data.step / 2, chart.timeOf(Math.max(from, to)) + chart.data.step / 2));
  cursor = connect([chart], {
    zoom: range,
    out: () => go(wider(read())),
    open: (at) => range(at, at),
    moved: (at) => announce(`${moment(chart.data.start + at * chart.data.step)}: ${count(sum(chart.data.list[at]?.rows ?? []))} requests`),
  });
}

export async function show(state, signal) {
  link(figure, state);
  let busy = false;
  let rest = 0;
  const refresh = () => {
    if (busy || Date.now() < rest) return undefined;
    const began = Date.now();
    busy = true;
    const step = (answer) => {
      draw(answer);
      busy = answer.share < 1 && !answer.stopped;
      // What takes long to count is counted again more rarely.
      rest = Date.now() + 4 * (Date.now() - began);
    };
    const asked = () => steps(terms(state).length ? 'overview/progress' : 'overview', query(state), signal, step);
    return load(figure, signal, () => asked().catch((error) => {
      busy = false;
      throw error;
    }), step, trouble);
  };
  await refresh();
  if (isLive(state)) repeat(10e3, signal, refresh);
}

function draw(answer) {
  const { total } = answer;
  const { rows } = doubts(answer);
  const all = sum(total.rows);
  chart.draw(slots(answer), total, `${rows ? '≈\u00a0' : ''}${count(all)}, per ${each(answer.step)}` + (rows ? `, estimated, ± ${brief(answer.error)}` : ''),
    all ? '' : 'No requests in this range');
  cursor.reset();
}
