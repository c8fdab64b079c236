// The page's state is in its address: view, range, filter and position in the list. The same address
// shows the same page, and the browser's back button restores the state before.

export const FIELDS = ['text', 'url', 'code', 'method', 'address', 'user', 'host', 'route', 'agent', 'server', 'request_id', 'trace_id'];
export const RANGES = ['15m', '1h', '6h', '24h', '7d', '30d', '120d'];

const RANGE = ['from', 'to'];
const PLACE = ['before', 'after', 'row'];
const CHANGED = ['stretch', 'baseline', 'compare'];
const KEYS = ['view', ...RANGE, ...FIELDS, 'not', ...PLACE, 'sort', 'columns', 'file', 'reason', 'tz', 'live', ...CHANGED];
const DEFAULTS = { view: 'overview', from: '1h' };
// Filters of which a part finds the same rows and more; a value may be longer than an address or the server takes.
const PARTS = ['url', 'agent', 'text'];
const LONGEST = 1000;
const UNITS = { s: 1000, m: 60e3, h: 3600e3, d: 86400e3, w: 7 * 86400e3 };

export function read(search = location.search) {
  const given = new URLSearchParams(search);
  const state = { ...DEFAULTS };
  for (const key of KEYS) {
    const value = given.get(key);
    if (value) state[key] = value;
  }
  // Conditions that must not hold, each as `field:value`.
  const not = given.getAll('not').filter((text) => text);
  if (not.length) state.not = not;
  return state;
}

/** Returns the address of a state with some changes, without keys that these changes invalidate. */
export function address(state, changes = {}) {
  const next = { ...state, ...changes };
  const drop = (keys) => keys.forEach((key) => { if (!(key in changes)) delete next[key]; });
  const changed = (keys) => keys.some((key) => key in changes && String(changes[key] ?? '') !== String(state[key] ?? ''));
  // A position in one list is not valid in another.
  if (changed(['view', ...RANGE, ...FIELDS, 'not', 'sort', 'file', 'reason', 'live'])) drop(PLACE);
  if (changed(['view', ...RANGE])) drop(CHANGED);
  if (changed(['view'])) drop(['sort', 'columns', 'file', 'reason', 'live']);
  if (changed(['before', 'after'])) drop(['before', 'after', 'row', 'live']);
  const query = new URLSearchParams();
  for (const key of KEYS) {
    if (!next[key] || next[key] === DEFAULTS[key]) continue;
    if (key !== 'not') {
      query.set(key, shortened(key, next[key]));
      continue;
    }
    for (const text of next.not) {
      const { field, value } = unjoined(text);
      query.append('not', `${field}:${shortened(field, value)}`);
    }
  }
  return `?${query}`;
}

const shortened = (field, value) => (PARTS.includes(field) ? value.slice(0, LONGEST).replace(/[\ud800-\udbff]$/, '') : value);

// What has no colon is not valid: it stays as it is, and the server says so.
function unjoined(text) {
  const at = text.indexOf(':');
  return at < 0 ? { field: text, value: '' } : { field: text.slice(0, at), value: text.slice(at + 1) };
}

/** Returns the filter as a list of terms: `field`, `value` and whether it must `not` hold. */
export const terms = (state) => [
  ...FIELDS.filter((field) => state[field]).map((field) => ({ field, value: state[field], not: false })),
  ...(state.not ?? []).map((text) => ({ ...unjoined(text), not: true })),
];

/** Returns the changes that add a term. A field has one value that must hold, and any number that must not. */
export function withTerm(state, { field, value, not }) {
  const text = `${field}:${value}`;
  if (not) return { not: [...(state.not ?? []).filter((it) => it !== text), text] };
  return { [field]: value };
}

/** Returns the changes that remove a term. */
export function withoutTerm(state, { field, value, not }) {
  if (!not) return { [field]: undefined };
  const left = (state.not ?? []).filter((it) => it !== `${field}:${value}` && it !== field);
  return { not: left.length ? left : undefined };
}

/** Returns the changes that turn a term into its opposite. */
export function turned(state, term) {
  const without = withoutTerm(state, term);
  return { ...without, ...withTerm({ ...state, ...without }, { ...term, not: !term.not }) };
}

/** Goes to a state; `again` replaces the current entry of the history. */
export function go(changes, { again = false } = {}) {
  visit(address(read(), changes), again);
}

export function visit(href, again = false) {
  if (again) history.replaceState(null, '', href);
  else history.pushState(null, '', href);
  dispatchEvent(new Event('state'));
}

/** Returns the query for the server: range, filter, and the given keys. */
export function query(state, keys = FIELDS, more = {}) {
  const asked = new URLSearchParams();
  for (const key of [...RANGE, ...keys]) if (state[key]) asked.set(key, state[key]);
  if (keys === FIELDS) for (const text of state.not ?? []) asked.append('not', text);
  for (const [key, value] of Object.entries(more)) if (value) asked.set(key, value);
  return asked;
}

/** Returns the range in milliseconds, or null if the address has no valid one. */
export function bounds(state, now = Date.now()) {
  const to = state.to ? Date.parse(state.to) : now;
  const age = /^(\d+)([smhdw])$/.exec(state.from);
  const from = age ? to - Number(age[1]) * UNITS[age[2]] : Date.parse(state.from);
  return from < to ? { from, to } : null;
}

const at = (ms) => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

/** Returns the changes that show a time range. */
export const stretch = (from, to) => ({ from: at(from), to: at(to) });

/** Returns the changes that ask what is different in a stretch of the range. */
export const selection = (from, to) => ({ stretch: `${at(from)}/${at(to)}` });

/** Returns that stretch in milliseconds, or null if the address has no valid one. */
export function selected({ stretch: text = '' }) {
  const [from, to] = text.split('/').map(Date.parse);
  return from < to ? { from, to } : null;
}

/** Returns the changes that extend the range by its length on both sides, but not into the future. */
export function wider(state, now = Date.now()) {
  const { from, to } = bounds(state, now);
  const half = (to - from) / 2;
  const end = Math.min(to + half, now);
  return stretch(end - (to - from) * 2, end);
}

/** Returns the changes that move the range by its own length, back (-1) or on (1). */
export function moved(state, way, now = Date.now()) {
  const { from, to } = bounds(state, now);
  const end = Math.min(to + way * (to - from), now);
  return stretch(end - (to - from), end);
}

/** Returns the changes that show the rows of the same request in another view, within ten minutes. */
export function counterpart(view, { request_id, timestamp }) {
  const at = Date.parse(timestamp);
  return { ...unfiltered(), request_id, view, ...stretch(at - 600e3, at + 600e3) };
}

export const unfiltered = () => Object.fromEntries([...FIELDS, 'not'].map((field) => [field, undefined]));
