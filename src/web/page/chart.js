// One chart: stacked bars, lines or a heat map over time, drawn as SVG with one path for each series.

import { el, replace, svg } from './dom.js';
import { moment } from './format.js';
import { cells, values as valuesOfHeat } from './heat.js';
import { draw as drawMarks } from './marks.js';
import { ticks, times } from './scale.js';

const LEFT = 56;
const RIGHT = 10;
const TOP = 8;
const BOTTOM = 22;

export class Chart {
  /**
   * `spec`: title, kind (bars, lines or heat), series, format, and functions that read a point and totals. `before`: the name
   * and the value of a point of the period before.
   */
  constructor(figure, spec) {
    this.spec = spec;
    this.unit = el('span', { class: 'unit' });
    this.time = el('span', { class: 'time' });
    this.legend = el('ul', { class: 'legend' });
    this.plot = el('div', {
      class: 'plot', tabindex: 0, role: 'application', 'aria-roledescription': 'chart',
      'aria-label': spec.title, 'aria-describedby': 'chart-keys',
    });
    this.message = el('p', { class: 'over', hidden: true });
    this.values = spec.series.map((series) => {
      const value = el('span', { class: 'value' }, '–');
      const key = [swatch(spec.kind, series), el('span', { class: 'name' }, series.name), value];
      this.legend.append(el('li', {}, series.filter
        ? el('a', { href: '?', 'data-filter': series.filter, title: `Only ${series.name}` }, key)
        : el('span', {}, key)));
      return value;
    });
    this.before = el('span', { class: 'value' }, '–');
    if (spec.before) {
      this.legend.append(el('li', { class: 'of-before', hidden: true }, el('span', {}, swatch('before', { style: '' }), el('span', { class: 'name' }, spec.before.name), this.before)));
    }
    if (spec.kind === 'heat') {
      this.legend.append(el('li', {}, el('span', {}, el('span', { class: 'name' }, 'few'), [1, 2, 3, 4, 5, 6].map((nth) => swatch('bars', { style: `h${nth}` })), el('span', { class: 'name' }, 'many'))));
    }
    replace(figure, el('figcaption', {}, el('h2', {}, spec.title), this.unit, this.time, this.legend),
      this.plot, this.message);
    new ResizeObserver(() => this.paint()).observe(this.plot);
  }

  draw(data, total, unit, message = '') {
    Object.assign(this, { data, total });
    this.unit.textContent = unit;
    this.message.textContent = message;
    this.message.hidden = !message;
    this.paint();
    this.mark(null);
  }

  paint() {
    const { clientWidth: width, clientHeight: height } = this.plot;
    if (!this.data || !width) return;
    Object.assign(this, { width, height, right: width - RIGHT, bottom: height - BOTTOM });
    const { spec, data } = this;
    const prior = spec.before ? (data.prior ?? []).map((point) => (point ? spec.before.value(point) : null)) : [];
    const highest = Math.max(0, ...data.list.map((point) => (point ? top(spec, point) : 0)), ...prior);
    const values = spec.kind === 'heat' ? valuesOfHeat(data) : data.list.flatMap((point) => (point ? spec.series.map((series) => series.value(point)) : []));
    this.grid = spec.log ? decades([...values, ...prior].filter((n) => n > 0)) : ticks(highest, spec.whole);
    const kept = data.selected && svg('rect', { class: 'band kept', x: this.x(data.selected.from), y: TOP, height: this.bottom - TOP, width: this.x(data.selected.to) - this.x(data.selected.from) });
    this.line = svg('path', { class: 'cursor' });
    this.band = svg('rect', { class: 'band', y: TOP, height: this.bottom - TOP, width: 0 });
    replace(this.plot, svg('svg', { width, height, 'aria-hidden': 'true', focusable: 'false' },
      this.axes(), spec.kind === 'heat' ? cells(this) : null, prior.length ? line(this, prior, 'before') : null,
      spec.kind === 'bars' ? bars(this) : spec.kind === 'lines' ? lines(this) : null, drawMarks(this, data.marks ?? [], TOP), kept, this.band, this.line));
  }

  axes() {
    const { data, right, bottom } = this;
    const marks = times(data.from, data.to, Math.max(2, (right - LEFT) / 75));
    return svg('g', { class: 'axes' },
      this.grid.map((value, nth) => [
        svg('path', { d: `M${LEFT} ${crisp(this.y(value))}H${right}`, class: nth ? 'grid' : 'zero' }),
        svg('text', { x: LEFT - 8, y: this.y(value) + 4, 'text-anchor': 'end' }, this.spec.format(value)),
      ]).flat(),
      marks.filter(({ t }) => this.x(t) < right - 14 && this.x(t) > LEFT + 8).map(({ t, label, midnight }) =>
        svg('text', { x: this.x(t), y: bottom + 16, 'text-anchor': 'middle', class: midnight ? 'midnight' : null }, label)));
  }

  x(t) {
    const { from, to } = this.data;
    return LEFT + ((Math.min(to, Math.max(from, t)) - from) / (to - from)) * (this.right - LEFT);
  }

  y(value) {
    const [low, high] = [this.grid[0], this.grid.at(-1)];
    const part = this.spec.log ? Math.log10(Math.max(value, low) / low) / Math.log10(high / low) : value / high;
    return this.bottom - part * (this.bottom - TOP);
  }

  /** Returns the time in the middle of a slot. */
  timeOf(at) {
    return this.data.start + (at + 0.5) * this.data.step;
  }

  /** Returns the slot of a time, or null outside of the chart. */
  slotOf(time) {
    const at = Math.floor((time - this.data.start) / this.data.step);
    return at >= 0 && at < this.data.list.length ? at : null;
  }

  /** Returns where slot `at` begins and ends, in pixels. */
  place(at) {
    const t = this.data.start + at * this.data.step;
    return [this.x(t), this.x(t + this.data.step)];
  }

  /** Returns the slot at a position in the plot. */
  slotAt(x) {
    const { from, to, start, step, list } = this.data;
    const t = from + ((x - LEFT) / (this.right - LEFT)) * (to - from);
    return Math.min(list.length - 1, Math.max(0, Math.floor((t - start) / step)));
  }

  /** Shows the values of a slot; without one, those of the whole range. */
  mark(at) {
    const point = at === null ? this.total : this.data.list[at];
    this.time.textContent = at === null ? '' : moment(this.data.start + at * this.data.step);
    this.values.forEach((value, nth) => {
      const n = point ? this.spec.series[nth].value(point) : (this.spec.empty ?? null);
      value.textContent = n === null ? '–' : (this.spec.formatOfSeries ?? this.spec.format)(n);
    });
    const before = at === null ? this.data.priorTotal : this.data.prior?.[at];
    const was = before && this.spec.before ? this.spec.before.value(before) : null;
    this.before.textContent = was === null ? '–' : (this.spec.before.format ?? this.spec.format)(was);
    const entry = this.before.closest('li');
    if (entry) entry.hidden = !this.data.prior;
    if (!this.line) return;
    const middle = at === null ? 0 : (this.place(at)[0] + this.place(at)[1]) / 2;
    this.line.setAttribute('d', at === null ? '' : `M${crisp(middle)} ${TOP}V${this.bottom}`);
  }

  select(from, to) {
    const [left, right] = from === null ? [0, 0] : [this.place(Math.min(from, to))[0], this.place(Math.max(from, to))[1]];
    this.band?.setAttribute('x', left);
    this.band?.setAttribute('width', right - left);
  }
}

const crisp = (n) => Math.round(n - 0.5) + 0.5;

function top(spec, point) {
  const values = spec.series.map((series) => series.value(point) ?? 0);
  return spec.kind === 'bars' ? values.reduce((sum, n) => sum + n, 0) : Math.max(...values);
}

// A logarithmic scale: a median of milliseconds and a maximum of seconds are both readable.
function decades(values) {
  if (!values.length) return [1000, 10000];
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  return Array.from({ length: high - low + 1 }, (_, nth) => 10 ** (low + nth));
}

function swatch(kind, { style, pattern }) {
  const shape = kind === 'bars' || kind === 'heat'
    ? svg('rect', { width: 12, height: 12, rx: 2, class: style, fill: pattern })
    : svg('path', { d: 'M0 6H14', class: kind === 'before' ? 'before' : `line ${style}` });
  return svg('svg', { width: 14, height: 12, class: 'swatch', 'aria-hidden': 'true' }, shape);
}

// The first series is at the bottom, where heights compare best. It is for the errors.
function bars(chart) {
  const { list } = chart.data;
  const floors = new Array(list.length).fill(chart.bottom);
  return chart.spec.series.map((series) => {
    let d = '';
    list.forEach((point, at) => {
      const n = point ? series.value(point) : 0;
      if (!n) return;
      const [left, right] = chart.place(at);
      const gap = right - left > 5 ? 1 : 0;
      // One error among a million requests must be visible.
      const tall = Math.max(1.5, chart.bottom - chart.y(n));
      floors[at] -= tall;
      d += `M${left.toFixed(1)} ${floors[at].toFixed(1)}h${Math.max(1, right - left - gap).toFixed(1)}v${tall.toFixed(1)}H${left.toFixed(1)}z`;
    });
    return svg('path', { d, class: series.style, fill: series.pattern });
  });
}

function lines(chart) {
  return chart.spec.series.map((series) => line(chart, chart.data.list.map((point) => (point ? series.value(point) : null)), `line ${series.style}`));
}

function line(chart, values, style) {
  let d = '';
  let open = false;
  values.forEach((n, at) => {
    if (n !== null) {
      const [left, right] = chart.place(at);
      const [x, y] = [((left + right) / 2).toFixed(1), chart.y(n).toFixed(1)];
      // A line without length is a dot because of its round ends, so a single value is visible.
      d += open ? `L${x} ${y}` : `M${x} ${y}h0`;
    }
    open = n !== null;
  });
  return svg('path', { d, class: style });
}
