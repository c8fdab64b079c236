// The requests of the range above their list, by the filter of the list.

import * as changed from './changed.js';
import { Chart } from './chart.js';
import { counted } from './counted.js';
import { connect } from './cursor.js';
import { announce, el } from './dom.js';
import { doubts } from './doubts.js';
import { go, read, stretch, wider } from './filter.js';
import { brief, count, each, moment } from './format.js';
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
  const times = (from, to) => [chart.timeOf(Math.min(from, to)) - chart.data.step / 2, chart.timeOf(Math.max(from, to)) + chart.data.step / 2];
  const range = (from, to) => go(stretch(...times(from, to)));
  cursor = connect([chart], {
    zoom: range,
    out: () => go(wider(read())),
    open: (at) => range(at, at),
    ask: (from, to) => changed.ask(...times(from, to), 'requests'),
    asking: () => false,
    moved: (at) => announce(`${moment(chart.data.start + at * chart.data.step)}: ${count(sum(chart.data.list[at]?.rows ?? []))} requests`),
  });
}

export async function show(state, signal) {
  link(figure, state);
  await counted({ place: figure, trouble, state, signal }, draw);
}

function draw(answer) {
  const { total } = answer;
  const { rows } = doubts(answer);
  const all = sum(total.rows);
  chart.draw(slots(answer), total, `${rows ? '≈\u00a0' : ''}${count(all)}, per ${each(answer.step)}` + (rows ? `, estimated, ± ${brief(answer.error)}` : ''),
    all ? '' : 'No requests in this range');
  cursor.reset();
}
