// The period before the shown one, as long as it: under each chart, and as a difference on each tile.

import { get, steps } from './api.js';
import { doubts } from './doubts.js';
import { query, stretch, terms } from './filter.js';
import { brief, bytes, duration, percent } from './format.js';
import { slots } from './scale.js';
import { sum } from './series.js';

/** Returns the range before the one of `data`: what is still to come has no counterpart. */
export function range({ from, to, step }, now = Date.now()) {
  const end = Math.min(to, Math.max(from + step, now));
  return { from: from - (to - from), to: end - (to - from) };
}

export class Previous {
  constructor() {
    this.key = null;
    this.answer = null;
  }

  /** Asks for the period before `data`, unless it is known, and passes each answer to `show`. */
  async load(data, state, signal, show) {
    const { from, to } = range(data);
    const asked = query({ ...state, ...stretch(from, to) });
    const key = `${from} ${data.step} ${query(state)}`;
    if (key === this.key) return;
    const take = (answer) => {
      if (signal.aborted) return;
      this.answer = answer;
      show();
    };
    const first = terms(state).length ? await steps('overview/progress', asked, signal, take) : await get('overview', asked, signal);
    this.key = key;
    take(first);
  }

  /** Forgets what is known: another view is shown. */
  forget() {
    Object.assign(this, { key: null, answer: null });
  }

  /** Returns its points, in the slots of the shown period. */
  list() {
    return this.answer && slots(this.answer).list;
  }
}

const signed = (n, text) => `${n < 0 ? '−' : '+'}${text}`;

/** Returns how much a number has grown, as a percentage with its sign. */
export function growth(now, before) {
  if (!before) return now ? 'new' : '±0%';
  const change = (now / before - 1) * 100;
  if (change >= 999.5) return `×${brief(Math.round(now / before))}`;
  const text = Math.abs(change).toFixed(Math.abs(change) < 9.95 ? 1 : 0).replace('.0', '');
  return text === '0' ? '±0%' : signed(change, `${text}%`);
}

const share = (n) => ({ rows }) => (sum(rows) ? rows[n] / sum(rows) : null);
const TILES = {
  requests: { value: ({ rows }) => sum(rows), format: brief, perTime: true, isCount: true },
  client: { value: share(3), format: percent, isShare: true, lessIsBetter: true },
  server: { value: share(4), format: percent, isShare: true, lessIsBetter: true },
  p50: { value: ({ p50 }) => p50, format: duration, lessIsBetter: true },
  p95: { value: ({ p95 }) => p95, format: duration, lessIsBetter: true },
  p99: { value: ({ p99 }) => p99, format: duration, lessIsBetter: true },
  bytes: { value: (total) => total.bytes, format: bytes, perTime: true },
};

/**
 * Returns for each tile a `text` about its difference, and whether it is `worse`. Numbers that grow with time are compared
 * by minute, since the shown period may not be over.
 */
export function differences(answer, before, now = Date.now()) {
  const minutes = (it) => (Math.min(Date.parse(it.to), now) - Date.parse(it.from)) / 60e3;
  const unsure = [answer, before].some((it) => doubts(it).rest || it.gone_before);
  const counted = [answer, before].some((it) => doubts(it).rows || it.gone_before);
  return Object.fromEntries(Object.entries(TILES).map(([name, { value, format, perTime, isShare, isCount = isShare, lessIsBetter }]) => {
    const [here, there] = [value(answer.total), value(before.total)];
    if (!sum(before.total.rows)) return [name, { text: 'nothing before', worse: false }];
    if (here === null || there === null) return [name, { text: '', worse: false }];
    const [one, other] = perTime ? [here / minutes(answer), there / minutes(before)] : [here, there];
    const change = isShare
      ? (one === other ? '±0' : `${signed(one - other, percent(Math.abs(one - other)).replace('%', ''))} points`)
      : growth(one, other);
    const about = (isCount ? counted : unsure) ? '≈\u00a0' : '';
    return [name, { text: `${about}${change}, before ${format(there)}`, worse: Boolean(lessIsBetter) && one > other * 1.1 }];
  }));
}
