// The bar above each view: time range and filter. It shows the state in the page's address. Changes
// go to the address first, so the bar and the address cannot differ.

import { el } from './dom.js';
import { FIELDS, RANGES, bounds, filtered, go, moved, read, unfiltered, wider } from './filter.js';
import { clock, day, fromInput, toInput, zoneName } from './format.js';

const LABELS = {
  text: ['Search', 'URL, agent, referer, user'], url: ['URL', '/path or *part*'], code: ['Status', '404, 5xx, >=400'],
  method: ['Method', 'GET'], address: ['Address', '203.0.113.0/24'], user: ['User', 'name'],
  host: ['Host', 'example.com'], server: ['Server', 'log’s machine'], agent: ['Agent', 'part of it'],
  route: ['Route', 'orders/<int:pk>/'], request_id: ['Request id', 'all of it'], trace_id: ['Trace id', '32 digits'],
};
const CHOICES = {
  code: ['2xx', '3xx', '4xx', '5xx', '>=400', '404', '500'],
  method: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'],
};

const form = document.querySelector('.bar');
const range = document.querySelector('.range');
const popover = document.getElementById('custom');
const custom = document.querySelector('.custom');
const inputs = {};

export function start() {
  const ages = range.querySelector('.ages');
  for (const age of RANGES) {
    ages.append(el('button', { type: 'button', 'data-range': age, 'aria-pressed': 'false', onclick: () => go({ from: age, to: undefined }) }, age));
  }
  const fields = form.querySelector('.fields');
  for (const field of FIELDS) fields.append(labelled(field));
  fields.append(
    el('button', { type: 'submit', class: 'apply' }, 'Apply'),
    el('button', { type: 'button', class: 'clear', onclick: () => go(unfiltered()) }, 'Clear'),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    apply();
  });
  // Leaving a field, or emptying it with its clear button, applies the filter as Enter does.
  form.addEventListener('change', apply);
  form.addEventListener('search', apply);
  form.querySelector('.filters').addEventListener('click', (event) => {
    const open = event.currentTarget.getAttribute('aria-expanded') !== 'true';
    event.currentTarget.setAttribute('aria-expanded', open);
    form.classList.toggle('open', open);
    if (open) inputs.text.focus();
  });
  const move = { back: () => moved(read(), -1), on: () => moved(read(), 1), out: () => wider(read()) };
  for (const button of range.querySelectorAll('[data-move]')) {
    button.addEventListener('click', () => go(bounds(read()) ? move[button.dataset.move]() : { from: undefined, to: undefined }));
  }
  startCustom();
}

function labelled(field) {
  const [label, hint] = LABELS[field];
  const list = CHOICES[field] && el('datalist', { id: `known-${field}` }, CHOICES[field].map((value) => el('option', { value })));
  inputs[field] = el('input', {
    type: 'search', name: field, placeholder: hint, autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false',
    enterkeyhint: 'search', list: list?.id,
  });
  return el('label', { class: `field-${field}` }, el('span', {}, label), inputs[field], list);
}

function apply() {
  const state = read();
  const wanted = Object.fromEntries(FIELDS.map((field) => [field, inputs[field].value.trim() || undefined]));
  if (FIELDS.some((field) => wanted[field] !== state[field])) go(wanted);
}

function startCustom() {
  const fields = popover.querySelector('form');
  popover.addEventListener('beforetoggle', (event) => {
    if (event.newState !== 'open') return;
    const state = read();
    const limits = bounds(state) ?? { from: Date.now() - 3600e3, to: Date.now() };
    fields.elements.from.value = toInput(limits.from);
    fields.elements.to.value = state.to ? toInput(limits.to) : '';
    fields.querySelector('.zone-name').textContent = `Times are in ${zoneName()}.`;
    fields.querySelector('.wrong').textContent = '';
    const box = custom.getBoundingClientRect();
    popover.style.top = `${box.bottom + 6}px`;
    popover.style.left = `${Math.max(8, Math.min(box.left, innerWidth - 300))}px`;
  });
  fields.addEventListener('submit', (event) => {
    event.preventDefault();
    const from = fromInput(fields.elements.from.value);
    const to = fromInput(fields.elements.to.value);
    if (!from || Date.parse(from) >= (to ? Date.parse(to) : Date.now())) {
      fields.querySelector('.wrong').textContent = 'The beginning must be before the end.';
      return;
    }
    popover.hidePopover();
    go({ from, to });
  });
}

/** Updates the bar to a state. */
export function show(state) {
  for (const field of FIELDS) {
    const value = state[field] ?? '';
    // Only if it differs: while a person types, an earlier change must not remove the next letter.
    if (inputs[field].value.trim() !== value) inputs[field].value = value;
    inputs[field].classList.toggle('set', value !== '');
  }
  const number = filtered(state).length;
  form.querySelector('.number').textContent = number ? ` (${number})` : '';
  form.querySelector('.clear').disabled = !number;
  let known = false;
  for (const button of range.querySelectorAll('[data-range]')) {
    const pressed = !state.to && button.dataset.range === state.from;
    known ||= pressed;
    button.setAttribute('aria-pressed', pressed);
  }
  const limits = bounds(state);
  custom.textContent = known || !limits ? 'Custom' : between(limits, !state.to);
  custom.title = custom.textContent;
  custom.classList.toggle('set', !known);
  range.querySelector('[data-move=on]').disabled = !state.to || Date.parse(state.to) >= Date.now() - 1000;
}

function between({ from, to }, open) {
  const end = open ? 'now' : day(from) === day(to) ? clock(to) : `${day(to)} ${clock(to)}`;
  return `${day(from)} ${clock(from)} – ${end}`;
}

