// What a person types into the filter, as terms of the filter, and terms as words.

const FIELDS = {
  url: { label: 'URL', names: ['url', 'path'], is: (value) => (value.startsWith('/') ? 'begins with' : 'contains') },
  route: { label: 'Route', names: ['route', 'view'] },
  code: { label: 'Status', names: ['status', 'code'] },
  method: { label: 'Method', names: ['method'] },
  address: { label: 'Address', names: ['address', 'ip'], is: (value) => (value.includes('/') ? 'is in' : 'is') },
  user: { label: 'User', names: ['user'] },
  agent: { label: 'Agent', names: ['agent'], is: () => 'contains' },
  host: { label: 'Host', names: ['host'] },
  server: { label: 'Server', names: ['server'] },
  text: { label: 'Text', names: ['text', 'search'], is: () => 'contains' },
  request_id: { label: 'Request id', names: ['request', 'request_id'] },
  trace_id: { label: 'Trace id', names: ['trace', 'trace_id'] },
};
const NOT = { 'begins with': 'does not begin with', contains: 'does not contain', is: 'is not', 'is in': 'is not in' };
const HINTS = {
  url: '/path or *part*', route: 'orders/<int:pk>/', code: '404, 5xx, >=400', method: 'GET', address: '203.0.113.0/24',
  user: 'name', agent: 'part of it', host: 'example.com', server: 'the log’s machine', text: 'part of URL, agent, referer or user',
  request_id: 'all of it', trace_id: '32 digits',
};

const CODES = /^(?:\d(?:xx)|>=\s?\d{3}|\d{3}(?:-\d{3})?)(?:,(?:\dxx|>=\s?\d{3}|\d{3}(?:-\d{3})?))*$/i;
const METHOD = /^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$/;
const ADDRESS = /^(?:\d{1,3}(?:\.\d{1,3}){3}|[\da-f]{0,4}(?::[\da-f]{0,4}){2,7})(?:\/\d{1,3})?$/i;

/** Returns a term as words: the field, the comparison and the value. */
export function words({ field, value, not }) {
  const known = FIELDS[field];
  const is = known?.is?.(value) ?? 'is';
  return { label: known?.label ?? field, is: not ? NOT[is] : is, value: field === 'url' ? value.replace(/^\*(.+?)\*?$/, '$1') : value };
}

/** Returns a term as it can be typed. */
export const typed = ({ field, value, not }) => `${not ? '-' : ''}${FIELDS[field]?.names[0] ?? field}:${value}`;

/** Returns all fields, with the text that begins a term of each. */
export const fields = () => Object.entries(FIELDS).map(([field, { label, names }]) => ({ field, label, begin: `${names[0]}:`, hint: HINTS[field] }));

/**
 * Reads a text that is typed: `not` if it begins with a minus or with "not ", the `field` if it begins with the name of
 * one and a colon, and the `value`.
 */
export function parse(text) {
  const [, minus, rest] = /^\s*(-|!|not\s+)?(.*?)\s*$/is.exec(text);
  const not = Boolean(minus);
  const named = /^([a-z_ ]+?)\s*:\s*(.*)$/is.exec(rest);
  const name = named?.[1].toLowerCase().replace(' ', '_');
  const field = name && Object.keys(FIELDS).find((key) => key === name || FIELDS[key].names.includes(name));
  return field ? { field, value: named[2], not } : { field: null, value: rest, not };
}

/** Returns the terms that a text may mean, the most likely first. */
export function guesses(text) {
  const { field, value, not } = parse(text);
  if (!value) return [];
  const term = (as, of = value) => ({ field: as, value: of, not });
  if (field) return [term(field)];
  if (value.startsWith('/') || value.startsWith('*')) return [term('url'), term('text')];
  if (CODES.test(value)) return [term('code', value.toLowerCase()), term('text')];
  if (METHOD.test(value)) return [term('method'), term('text')];
  if (ADDRESS.test(value)) return [term('address'), term('text')];
  return [term('text'), term('url', `*${value}*`)];
}
