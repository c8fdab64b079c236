// The columns of a list: which are shown, by which the rows are sorted, and how wide each is. The choice and the order are in
// the address; widths are of this browser.

import { el, replace } from './dom.js';
import { address, go, read } from './filter.js';

const KEY = 'log-ingestd widths';
const [LEAST, MOST, STEP] = [40, 1200, 20];

/** Returns the columns that a state names; without a choice all but the `extra` ones. */
export function chosen(all, { columns }) {
  const names = columns?.split(',');
  const found = names && all.filter(({ key }) => names.includes(key));
  return found?.length ? found : all.filter(({ extra }) => !extra);
}

/** Returns the changes that show a column, or hide it. The last one stays. */
export function toggled(all, state, key) {
  const keys = chosen(all, state).map((column) => column.key);
  const next = keys.includes(key) ? keys.filter((it) => it !== key) : all.map((column) => column.key).filter((it) => it === key || keys.includes(it));
  const usual = all.filter(({ extra }) => !extra).map((column) => column.key);
  return { columns: !next.length || String(next) === String(usual) ? undefined : String(next) };
}

/** Returns the next order of a column as a state has it: the greatest first, the least first, the newest first. */
export function nextSort(sort, key) {
  if (key === 'time') return sort === 'time' ? undefined : 'time';
  return sort === `-${key}` ? key : sort === key ? undefined : `-${key}`;
}

/** Returns a column's order for screen readers. */
export const ariaSort = (sort, key) => ({ [key]: 'ascending', [`-${key}`]: 'descending' }[sort ?? '-time'] ?? null);

function widths() {
  try {
    const all = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    return Object.fromEntries(Object.entries(all).filter(([, n]) => Number.isFinite(n)));
  } catch {
    return {}; // no storage, or not what this page has written
  }
}

function keep(key, width) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...widths(), [key]: width }));
  } catch {
    // The column has its width until the page is left.
  }
}

/** Returns the head of a column: a link that sorts, and an edge that is dragged. Shift and an arrow key do the same. */
export function head({ key, label, sorts }, state) {
  const name = sorts
    ? el('a', { href: address(state, { sort: nextSort(state.sort, key) }), 'data-key': `sort ${key}`, title: `Sort by ${label}. Shift and ← or →: width` }, label)
    : el('span', { tabindex: 0, title: 'Shift and ← or →: width' }, label);
  const edge = el('span', { class: 'edge', 'aria-hidden': 'true' });
  const th = el('th', { scope: 'col', role: 'columnheader', class: key, 'aria-sort': sorts ? ariaSort(state.sort, key) : null }, name, edge);
  const width = (n) => {
    const limited = Math.round(Math.min(MOST, Math.max(LEAST, n)));
    th.style.width = `${limited}px`;
    return limited;
  };
  if (widths()[key]) width(widths()[key]);
  edge.addEventListener('pointerdown', (event) => {
    event.preventDefault();
    edge.setPointerCapture(event.pointerId);
    const [from, wide] = [event.clientX, th.offsetWidth];
    edge.onpointermove = (move) => keep(key, width(wide + move.clientX - from));
    edge.onpointerup = edge.onpointercancel = () => { edge.onpointermove = null; };
  });
  th.addEventListener('keydown', (event) => {
    const way = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    if (!way || !event.shiftKey) return;
    event.preventDefault();
    keep(key, width(th.offsetWidth + way));
  });
  return th;
}

/** Returns a button that opens the choice of columns, and of the order. */
export function menu(all, state) {
  const popover = document.getElementById('columns');
  const button = el('button', { type: 'button', popovertarget: 'columns', 'aria-haspopup': 'dialog', 'data-key': 'columns' }, 'Columns');
  button.addEventListener('click', () => {
    const box = button.getBoundingClientRect();
    popover.style.top = `${box.bottom + 6}px`;
    popover.style.left = `${Math.max(8, Math.min(box.left, innerWidth - 300))}px`;
    draw(popover, all, state);
  });
  // The popover stays open while columns are chosen.
  if (popover.matches(':popover-open')) draw(popover, all, state);
  return button;
}

function draw(popover, all, state) {
  const shown = chosen(all, state);
  const order = el('select', { name: 'sort', 'data-key': 'order', onchange: () => go({ sort: order.value || undefined }) },
    el('option', { value: '' }, 'Newest first'), el('option', { value: 'time' }, 'Oldest first'),
    all.filter(({ key, sorts }) => sorts && key !== 'time').map(({ key, label }) => [
      el('option', { value: `-${key}` }, `${label}, greatest first`), el('option', { value: key }, `${label}, least first`)]).flat());
  order.value = state.sort ?? '';
  replace(popover,
    el('ul', {}, all.map(({ key, label }) => el('li', {}, el('label', {},
      el('input', { type: 'checkbox', name: key, checked: shown.some((it) => it.key === key), 'data-key': `show ${key}`, onchange: () => go(toggled(all, read(), key)) }), ` ${label}`)))),
    el('label', {}, 'Order ', order),
    el('button', { type: 'button', onclick: () => { localStorage.removeItem(KEY); go({ columns: undefined, sort: undefined }); } }, 'Reset'));
}
