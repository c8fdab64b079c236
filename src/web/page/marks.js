// What happened to the reading of the files: marks in the charts, and the same as a list.

import { get } from './api.js';
import { el, replace, svg, visible } from './dom.js';
import { address, query, terms } from './filter.js';
import { bytes, clock, count, day } from './format.js';

const SHAPES = { lost: 'M-5 0H5L0 8z', rejected: 'M-4 0H4V8H-4z', resumed: 'M0 0L5 4L0 8z', format: 'M0 0L4 4L0 8L-4 4z' };

/** Asks for the marks of a range. Rejected lines that are no requests have none. */
export async function load(state, step, signal) {
  const found = await get('marks', query(state, undefined, { step: String(step) }), signal);
  return found.filter(({ kind, unexpected }) => kind !== 'rejected' || unexpected).map((mark) => ({ ...mark, at: Date.parse(mark.t) }));
}

const lines = (n) => `${count(n)} ${n === 1 ? 'line' : 'lines'}`;

function words(mark) {
  if (mark.kind === 'rejected') return `${lines(mark.lines)} rejected: ${mark.words ?? visible(mark.code)}`;
  const file = visible(mark.path);
  if (mark.kind === 'lost') return `${bytes(mark.bytes)} of ${file} lost`;
  if (mark.kind === 'format') return `${file} has another format: ${visible(mark.after)}, before ${visible(mark.before)}`;
  return `${visible(mark.server)} went on with ${mark.files > 1 ? `${count(mark.files)} files` : file}`;
}

/** Groups marks that are one for a reader: rejects by reason, and files that a daemon took over together. */
export function grouped(marks) {
  const groups = new Map();
  for (const mark of marks) {
    const key = mark.kind === 'rejected' ? `rejected ${mark.code}` : mark.kind === 'resumed' ? `resumed ${mark.server} ${Math.floor(mark.at / 10e3)}` : groups.size;
    const known = groups.get(key);
    if (!known) groups.set(key, { ...mark, until: mark.at, files: 1 });
    else Object.assign(known, { until: Math.max(known.until, mark.at), files: known.files + 1, lines: known.lines + mark.lines });
  }
  return [...groups.values()].sort((one, other) => one.at - other.at);
}

const symbol = (kind) => svg('svg', { width: 12, height: 10, class: `mark ${kind}`, viewBox: '-6 -1 12 10', 'aria-hidden': 'true' }, svg('path', { d: SHAPES[kind] }));

/** Shows the marks as a list. */
export function list(place, marks, state) {
  const groups = grouped(marks);
  place.hidden = !groups.length;
  const time = (ms) => `${day(ms)} ${clock(ms)}`;
  replace(place, groups.map((mark) => el('li', {}, symbol(mark.kind),
    el('span', { class: 'unit' }, mark.until - mark.at >= 60e3 ? `${time(mark.at)} – ${clock(mark.until)}` : time(mark.at)),
    el('a', { href: address(state, { view: 'files', ...(mark.kind === 'rejected' ? { reason: mark.code } : {}) }), 'data-key': `mark ${mark.kind} ${mark.at}` }, words(mark)))),
  groups.length && terms(state).some(({ field }) => field !== 'server') ? el('li', { class: 'note' }, 'Marks are of all lines: of the filter, the server alone holds for them.') : null);
}

/** Draws the marks into a chart. */
export function draw(chart, marks, top) {
  return marks.filter(({ at }) => at >= chart.data.from && at < chart.data.to).map((mark) => svg('g', { class: `mark ${mark.kind}`, transform: `translate(${chart.x(mark.at).toFixed(1)} ${top})` },
    svg('path', { class: 'stem', d: `M0 0V${(chart.bottom - top).toFixed(1)}` }), svg('path', { d: SHAPES[mark.kind] }), svg('title', {}, words({ ...mark, files: 1 }))));
}
