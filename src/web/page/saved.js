// Saved views: names for addresses of this page, in the storage of this browser alone.

import { announce, el, replace } from './dom.js';
import { address, read } from './filter.js';

const KEY = 'log-ingestd views';

let popover;
let button;
let list;
let form;

/** Returns the saved views, sorted by name: `name` and `search`, the address. */
export function views() {
  try {
    const all = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return all.filter(({ name, search }) => typeof name === 'string' && /^\?/.test(search));
  } catch {
    return []; // no storage, or not what this page has written
  }
}

/** Keeps a view; one of the same name is replaced. Returns whether this browser keeps it. */
export function keep(name, search) {
  return write([...views().filter((view) => view.name !== name), { name, search }]);
}

export function forget(name) {
  return write(views().filter((view) => view.name !== name));
}

function write(all) {
  all.sort((one, two) => one.name.localeCompare(two.name));
  try {
    localStorage.setItem(KEY, JSON.stringify(all));
    return true;
  } catch {
    return false;
  }
}

export function start(place) {
  button = el('button', { type: 'button', class: 'saved', popovertarget: 'saved', 'aria-haspopup': 'dialog' }, 'Views');
  place.append(button);
  popover = document.getElementById('saved');
  list = popover.querySelector('ul');
  form = popover.querySelector('form');
  popover.addEventListener('beforetoggle', (event) => {
    if (event.newState !== 'open') return;
    form.querySelector('.wrong').textContent = '';
    draw();
    const box = button.getBoundingClientRect();
    popover.style.top = `${box.bottom + 6}px`;
    popover.style.left = `${Math.max(8, Math.min(box.left, innerWidth - 300))}px`;
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const name = form.elements.name.value.trim();
    if (!name) return;
    if (keep(name, address(read(), { row: undefined, before: undefined, after: undefined }))) {
      form.reset();
      draw();
      announce(`Saved: ${name}`);
    } else {
      form.querySelector('.wrong').textContent = 'This browser stores nothing for this page.';
    }
  });
  addEventListener('state', () => popover.hidePopover());
}

function draw() {
  const all = views();
  const here = address(read());
  replace(list, all.length ? all.map(({ name, search }) => el('li', {},
    el('a', { href: search, 'aria-current': search === here ? 'true' : null, 'data-key': `view ${name}` }, name),
    el('button', {
      type: 'button', class: 'remove', 'aria-label': `Forget ${name}`, 'data-key': `forget ${name}`,
      onclick: () => { forget(name); draw(); form.elements.name.focus(); },
    }, el('span', { 'aria-hidden': 'true' }, '×')))) : el('li', { class: 'note' }, 'None yet. A view has the range, the filter and the list.'));
}
