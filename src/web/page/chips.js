// The filter: one field with a chip for each term, and suggestions with counts while a person types. It follows
// the pattern of a combobox with a list (WAI-ARIA Authoring Practices).

import { get } from './api.js';
import { announce, el, replace, visible } from './dom.js';
import { go, query, read, terms, turned, unfiltered, withTerm, withoutTerm } from './filter.js';
import { brief } from './format.js';
import { fields, guesses, parse, typed, words } from './terms.js';

const WAIT_MS = 120;
const LONGEST = 60;

let chips;
let input;
let popup;
let list;
let note;
let clear;
let options = [];
let active = -1;
let asking = new AbortController();
let timer;

export function start(place) {
  chips = el('ul', { class: 'chips', 'aria-label': 'Filter' });
  input = el('input', {
    type: 'text', name: 'filter', class: 'term', placeholder: 'Filter: /path, 5xx, user:ann, -agent:bot', 'aria-label': 'Add to the filter',
    role: 'combobox', 'aria-expanded': 'false', 'aria-controls': 'options', 'aria-autocomplete': 'list',
    autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', enterkeyhint: 'search',
  });
  list = el('ul', { id: 'options', role: 'listbox', 'aria-label': 'Suggestions' });
  note = el('p', { class: 'note' });
  popup = el('div', { class: 'options', hidden: true }, list, note);
  clear = el('button', { type: 'button', class: 'clear', 'data-key': 'clear', onclick: () => { go(unfiltered()); input.focus(); } }, 'Clear');
  const field = el('div', { class: 'field' }, chips, input, popup);
  place.append(field, clear);
  // A click beside the chips is meant for the field.
  field.addEventListener('click', (event) => { if (event.target === field || event.target === chips) input.focus(); });
  input.addEventListener('input', suggest);
  input.addEventListener('click', () => { if (popup.hidden) suggest(); });
  input.addEventListener('blur', close);
  input.addEventListener('keydown', key);
  // The field keeps the focus while an option is pressed.
  popup.addEventListener('mousedown', (event) => event.preventDefault());
  list.addEventListener('click', (event) => {
    const option = event.target.closest('[role=option]');
    if (option) choose(options[[...list.children].indexOf(option)]);
  });
}

/** Shows the terms of a state. */
export function show(state) {
  const all = terms(state);
  replace(chips, all.map((term) => chip(term)));
  chips.hidden = !all.length;
  clear.hidden = !all.length;
  return all.length;
}

export const focus = () => input.focus();

/** Applies what is typed, as Enter does. */
export function submit() {
  if (active >= 0 && !popup.hidden) choose(options[active]);
  else if (input.value.trim()) choose({ term: guesses(input.value)[0] });
}

function chip(term) {
  const { label, is, value } = words(term);
  const name = `${label} ${is} ${value}`;
  const id = typed(term);
  return el('li', { class: term.not ? 'chip not' : 'chip', 'data-term': id },
    el('button', {
      type: 'button', class: 'turn', 'data-key': `turn ${id}`, title: `${visible(name)}\nClick: ${term.not ? 'only these' : 'all but these'}`,
      onclick: () => {
        go(turned(read(), term));
        const opposite = typed({ ...term, not: !term.not });
        [...chips.children].find((it) => it.dataset.term === opposite)?.querySelector('.turn').focus();
      },
    }, el('span', { class: 'what' }, `${label} `), el('span', { class: term.not ? 'is' : 'is quiet' }, `${is} `), el('bdi', {}, shortened(visible(value)))),
    el('button', {
      type: 'button', class: 'remove', 'data-key': `remove ${id}`, 'aria-label': `Remove: ${shortened(visible(name))}`,
      onclick: () => { go(withoutTerm(read(), term)); input.focus(); },
    }, el('span', { 'aria-hidden': 'true' }, '×')));
}

const shortened = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);

function key(event) {
  if (event.isComposing) return;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    if (popup.hidden) suggest();
    else mark(active + step < -1 ? options.length - 1 : active + step >= options.length ? -1 : active + step);
  } else if (event.key === 'Escape' && !popup.hidden) {
    close();
  } else if (event.key === 'Backspace' && !input.value && terms(read()).length) {
    // The last term goes back into the field, to be changed.
    const last = terms(read()).at(-1);
    go(withoutTerm(read(), last));
    input.value = typed(last);
    suggest();
  } else {
    return;
  }
  event.preventDefault();
}

function choose({ term, begin } = {}) {
  if (begin) {
    input.value = `${parse(input.value).not ? '-' : ''}${begin}`;
    suggest();
    return;
  }
  if (!term?.value) return;
  input.value = '';
  close();
  go(withTerm(read(), term));
  const { label, is, value } = words(term);
  announce(`Filter: ${label} ${is} ${shortened(visible(value))}`);
}

/** Offers what the text may mean at once, and the values that are in the log as soon as they are known. */
function suggest() {
  asking.abort();
  asking = new AbortController();
  clearTimeout(timer);
  const { field, value, not } = parse(input.value);
  const own = guesses(input.value).map((term) => ({ term }));
  const begins = fields().filter(({ begin, label }) => !field && (begin.startsWith(value.toLowerCase()) || label.toLowerCase().startsWith(value.toLowerCase())));
  draw(own, begins, '');
  const { signal } = asking;
  // Without a text or a field there is nothing to look for.
  if (field || value) timer = setTimeout(() => ask(field, value, not, own, begins, signal), WAIT_MS);
}

async function ask(field, value, not, own, begins, signal) {
  if (['text', 'request_id', 'trace_id'].includes(field)) return;
  try {
    const part = field === 'url' ? value.replace(/^\*|\*$/g, '') : value;
    const asked = query(read(), undefined, { part, field });
    const { items, complete } = await get('suggest', asked, signal);
    if (signal.aborted || document.activeElement !== input) return;
    const known = new Set(own.map(({ term }) => typed(term)));
    const found = items.map(({ rows, ...item }) => ({ term: { ...item, not }, rows })).filter(({ term }) => !known.has(typed(term)));
    const counts = new Map(items.map(({ rows, ...item }) => [typed({ ...item, not }), rows]));
    draw([...own.map((it) => ({ ...it, rows: counts.get(typed(it.term)) })), ...found], begins,
      complete ? '' : 'Counts are of the newest 20,000 requests.');
    announce(`${options.length} suggestions`);
  } catch {
    // Suggestions are a help: without them the filter works as well, and the view itself says what is wrong.
  }
}

function draw(found, begins, said) {
  options = [...found, ...begins];
  active = -1;
  replace(list, options.map(({ term, rows, label, hint }, nth) => {
    const text = term ? words(term) : { label, is: '', value: hint };
    return el('li', { role: 'option', id: `option-${nth}`, 'aria-selected': 'false', class: term ? null : 'begin' },
      el('span', { class: 'what' }, `${text.label} `), el('span', { class: 'is quiet' }, `${text.is} `), el('bdi', {}, shortened(visible(text.value))),
      rows === undefined ? null : el('span', { class: 'count' }, brief(rows)));
  }));
  note.textContent = said;
  note.hidden = !said;
  popup.hidden = !options.length;
  input.setAttribute('aria-expanded', !popup.hidden);
  input.removeAttribute('aria-activedescendant');
}

function mark(nth) {
  list.children[active]?.setAttribute('aria-selected', 'false');
  active = nth;
  const option = list.children[active];
  option?.setAttribute('aria-selected', 'true');
  option?.scrollIntoView({ block: 'nearest' });
  if (option) input.setAttribute('aria-activedescendant', option.id);
  else input.removeAttribute('aria-activedescendant');
}

function close() {
  asking.abort();
  clearTimeout(timer);
  popup.hidden = true;
  active = -1;
  input.setAttribute('aria-expanded', 'false');
  input.removeAttribute('aria-activedescendant');
}
