// The bar above each view: time range, filter and saved views. It shows the state in the page's address. Changes
// go to the address first, so the bar and the address cannot differ.

import * as chips from './chips.js';
import { el } from './dom.js';
import { RANGES, bounds, go, moved, read, wider } from './filter.js';
import { clock, day, fromInput, toInput, zoneName } from './format.js';
import * as saved from './saved.js';
import * as sheet from './sheet.js';

const form = document.querySelector('.bar');
const range = document.querySelector('.range');
const popover = document.getElementById('custom');
const custom = document.querySelector('.custom');

export function start() {
  const ages = range.querySelector('.ages');
  for (const age of RANGES) {
    ages.append(el('button', { type: 'button', 'data-range': age, 'aria-pressed': 'false', onclick: () => go({ from: age, to: undefined }) }, age));
  }
  const fields = form.querySelector('.fields');
  chips.start(fields);
  saved.start(fields);
  sheet.start(form, chips.focus);
  for (const place of [form, document.querySelector('#sheet form')]) {
    place.addEventListener('submit', (event) => {
      event.preventDefault();
      chips.submit();
    });
  }
  const move = { back: () => moved(read(), -1), on: () => moved(read(), 1), out: () => wider(read()) };
  for (const button of range.querySelectorAll('[data-move]')) {
    button.addEventListener('click', () => go(bounds(read()) ? move[button.dataset.move]() : { from: undefined, to: undefined }));
  }
  startCustom();
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
  const number = chips.show(state);
  form.querySelector('.number').textContent = number ? ` (${number})` : '';
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

