// Shows the view that the page's address names, at the start and after each change.

import { get, repeat } from './api.js';
import * as bar from './bar.js';
import { announce } from './dom.js';
import * as files from './files.js';
import { address, go, read, visit, withTerm } from './filter.js';
import { count, zone, zoneName } from './format.js';
import { endsNow, isLive, updated } from './live.js';
import * as log from './log.js';
import * as overview from './overview.js';
import * as requests from './requests.js';

const VIEWS = { overview, log, requests, files };

const live = document.getElementById('live');
const zones = [...document.querySelectorAll('[data-tz]')];
let running = new AbortController();
let shown;

function route() {
  // Cancels requests of the earlier state and ends a live view.
  running.abort();
  running = new AbortController();
  const state = read();
  if (!(state.view in VIEWS)) state.view = 'overview';
  zone(state.tz);
  bar.show(state);
  for (const link of document.querySelectorAll('.views a')) {
    link.href = address(state, { view: link.dataset.view });
    if (link.dataset.view === state.view) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  for (const button of zones) button.setAttribute('aria-pressed', button.dataset.tz === (state.tz ?? ''));
  zones[0].title = Intl.DateTimeFormat().resolvedOptions().timeZone;
  live.setAttribute('aria-pressed', isLive(state));
  updated(state, null);
  document.body.dataset.view = state.view;
  for (const section of document.querySelectorAll('main > section')) {
    section.hidden = section.dataset.view !== state.view;
  }
  const heading = document.querySelector(`main > section[data-view=${state.view}] h1`);
  document.title = `${heading.textContent} · log-ingestd`;
  if (shown && shown !== state.view) {
    scrollTo(0, 0);
    heading.focus({ preventScroll: true });
  }
  shown = state.view;
  VIEWS[state.view].show(state, running.signal);
}

// With Alt, a click on a value leaves it out instead.
document.addEventListener('click', (event) => {
  const link = event.altKey && event.target.closest('a[data-field]');
  if (!link) return;
  event.preventDefault();
  const { field, value } = link.dataset;
  go(withTerm(read(), { field, value, not: true }));
  announce('Excluded');
});

// Links within the page change its address without a reload. The browser handles all other links.
document.addEventListener('click', (event) => {
  const link = event.target.closest('a[href^="?"]');
  if (!link || event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (String(getSelection())) return; // the click selects text to copy, it does not follow the link
  visit(link.getAttribute('href'));
});

live.addEventListener('click', () => {
  const on = live.getAttribute('aria-pressed') !== 'true';
  // What does not end now has no new lines: it is live again where it ends.
  const state = read();
  const now = on && !endsNow(state) ? { before: undefined, after: undefined, ...(state.to ? { from: '15m', to: undefined } : {}) } : {};
  go({ ...now, ...(on ? { sort: undefined } : {}), live: on ? undefined : '0' });
  announce(on ? 'Live: new requests are shown as they come' : 'Paused');
});

for (const button of zones) {
  button.addEventListener('click', () => {
    go({ tz: button.dataset.tz || undefined }, { again: true });
    announce(`Times are in ${zoneName()}`);
  });
}

// Says beside the link to the files how many lines were rejected that may be requests, and how many files are ignored.
async function mark() {
  const found = await get('attention', null, new AbortController().signal);
  for (const [kind, n, what] of [['rejected', found.rejected_lines, 'rejected line'], ['ignored', found.ignored_files, 'ignored file']]) {
    const badge = document.querySelector(`.badge.${kind}`);
    const name = `${count(n)} ${what}${n === 1 ? '' : 's'}`;
    badge.hidden = !n;
    badge.title = name;
    badge.setAttribute('aria-label', name);
    badge.textContent = count(n);
  }
}

addEventListener('popstate', route);
addEventListener('state', route);

bar.start();
for (const [name, view] of Object.entries(VIEWS)) {
  view.start(document.querySelector(`main > section[data-view=${name}]`));
}
route();
// The views themselves say that the daemon does not answer.
const marked = () => mark().catch(() => {});
marked();
repeat(30e3, new AbortController().signal, marked);
