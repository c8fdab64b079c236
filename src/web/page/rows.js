// A list of lines, newest first: one page, links to the next, and the details of a row. The log view
// and the requests view both use it; `kind` contains the differences.

import { get, load, nothing } from './api.js';
import { chosen, head, menu } from './columns.js';
import { el, replace, visible } from './dom.js';
import { address, query, read } from './filter.js';
import { count, moment, stamp } from './format.js';
import { updated } from './live.js';
import { why } from './why.js';

const LIMIT = 100;
const PLACE = ['before', 'after'];

export class Rows {
  /** `kind`: path, title, columns, detail(row, state), about (what its rows are, for an empty list), and the parameters of the export. */
  constructor(section, kind) {
    this.kind = kind;
    this.status = el('p', { class: 'status' });
    this.pager = el('nav', { class: 'pager', 'aria-label': 'Pages' });
    this.foot = el('div', { class: 'rows-foot' });
    this.downloads = el('div', { class: 'downloads' });
    this.place = el('div', { class: 'rows loading' });
    section.append(
      el('div', { class: 'tools' }, this.status, this.downloads, this.pager), this.place, this.foot,
    );
    this.place.addEventListener('click', (event) => this.click(event));
    this.place.addEventListener('keydown', (event) => this.key(event));
  }

  /** Prepares the controls around the list, which need no answer of the server. */
  frame(state, signal) {
    Object.assign(this, { state, signal, columns: chosen(this.kind.columns, state) });
    const file = (format) => `api/export?${query(state, undefined, { ...this.kind.exported, format })}`;
    replace(this.downloads, menu(this.kind.columns, state),
      el('a', { class: 'button', href: file('csv'), download: '', 'data-key': 'csv' }, 'CSV'),
      el('a', { class: 'button', href: file('jsonl'), download: '', 'data-key': 'jsonl' }, 'JSON lines'));
  }

  show(state, signal) {
    this.frame(state, signal);
    return load(this.place, signal, () => this.ask(state, signal), (answer) => this.draw(answer));
  }

  ask(state, signal, keys = PLACE) {
    const place = Object.fromEntries(keys.map((key) => [key, state[key]]));
    return get(this.kind.path, query(state, undefined, { ...place, sort: state.sort, limit: LIMIT }), signal);
  }

  draw(answer) {
    const { rows } = answer;
    updated(this.state);
    this.page(answer);
    if (!rows.length) {
      this.body = null;
      replace(this.place, this.state.row ? this.alone() : null, this.none(answer));
      return;
    }
    const { columns, state } = this;
    this.body = el('tbody', { role: 'rowgroup' }, rows.map((row) => this.row(row)));
    // The roles are explicit: on a narrow screen rows are laid out as cards, and a browser does not
    // expose a table with another layout as a table.
    replace(this.place, el('table', { class: `entries ${this.kind.path}${state.columns ? ' chosen' : ''}`, role: 'table' },
      el('caption', { class: 'hidden' }, `${this.kind.title}, ${state.sort ? 'sorted' : 'newest first'}`),
      el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' },
        el('th', { scope: 'col', role: 'columnheader', class: 'open' }, el('span', { class: 'hidden' }, 'Details')),
        columns.map((column) => head(column, state)))),
      this.body));
    const wanted = this.state.row && this.find(this.state.row);
    if (wanted) this.open(wanted);
    else if (this.state.row) this.place.prepend(this.alone());
  }

  row(row) {
    const name = `Details of ${visible(`${row.method ?? ''} ${row.url ?? row.path ?? ''}`).slice(0, 80)} at ${moment(Date.parse(row.timestamp))}`;
    const entry = el('tr', { role: 'row', class: 'entry', 'data-id': row.id },
      el('td', { role: 'cell', class: 'open' },
        el('button', { type: 'button', 'aria-expanded': 'false', 'aria-label': name, 'data-key': `row-${row.id}` })),
      this.columns.map(({ key, label, extra, cell }) => el('td', { role: 'cell', class: extra ? `${key} extra` : key, 'data-name': label }, cell(row, this.state))));
    entry.row = row;
    return entry;
  }

  shown() {
    return this.body ? [...this.body.querySelectorAll('.entry')].map(({ row }) => row) : [];
  }

  find(id) {
    return this.body && [...this.body.children].find((entry) => entry.dataset.id === id);
  }

  toggle(entry) {
    const open = entry.querySelector('button').getAttribute('aria-expanded') === 'true';
    if (open) this.close(entry);
    else this.open(entry);
    // The address names the row, so that a shared link opens it. Opening a row adds no history entry.
    history.replaceState(null, '', address(read(), { row: open ? undefined : entry.dataset.id }));
    this.state = read();
  }

  open(entry) {
    const body = el('div', { class: 'detail loading' });
    const more = el('tr', { role: 'row', class: 'more', id: `more-${entry.dataset.id}` },
      el('td', { role: 'cell', colspan: this.columns.length + 1 }, body));
    entry.querySelector('button').setAttribute('aria-expanded', 'true');
    entry.querySelector('button').setAttribute('aria-controls', more.id);
    entry.after(more);
    this.details(entry.dataset.id, body);
  }

  close(entry) {
    entry.querySelector('button').setAttribute('aria-expanded', 'false');
    entry.querySelector('button').removeAttribute('aria-controls');
    entry.nextElementSibling.remove();
  }

  /** Shows the row that the address names, if it is not on this page of the list. */
  alone() {
    const body = el('div', { class: 'detail loading' });
    this.details(this.state.row, body);
    return el('div', { class: 'alone' }, el('h2', {}, 'The row of this link'), body);
  }

  details(id, body) {
    load(body, this.signal, () => get(`${this.kind.path}/${encodeURIComponent(id)}`, null, this.signal),
      (row) => replace(body, this.kind.detail(row, this.state, this.signal)));
  }

  click(event) {
    const entry = event.target.closest('tr.entry');
    if (!entry || event.target.closest('a') || String(getSelection())) return;
    this.toggle(entry);
  }

  // The up and down keys move from row to row, which is faster than Tab through their links.
  key(event) {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way || !event.target.matches('td.open button')) return;
    const buttons = [...this.body.querySelectorAll('td.open button')];
    buttons[buttons.indexOf(event.target) + way]?.focus();
    event.preventDefault();
  }

  page({ rows, older, newer, searched_to: searched, complete, from }) {
    const { state } = this;
    if (state.sort) {
      replace(this.pager, el('a', { class: 'button', href: address(state, { sort: undefined }), 'data-key': 'Newest first' }, 'Newest first'));
      replace(this.foot);
      const label = this.kind.columns.find(({ key }) => key === state.sort.replace('-', ''))?.label ?? state.sort;
      const first = `The first ${count(rows.length)} by ${label.toLowerCase()}, ${state.sort.startsWith('-') ? 'greatest' : 'least'} first`;
      this.status.textContent = !rows.length ? '' : complete ? first : `${first}, of the newest requests since ${stamp(from)}: the range has more`;
      return;
    }
    const paged = Boolean(state.before || state.after);
    const step = (label, changes) => el('a', {
      class: 'button', href: changes && address(state, changes), 'data-key': label, 'aria-disabled': changes ? null : 'true', role: changes ? null : 'link',
    }, label);
    const steps = () => [
      step('Newest', paged ? { before: undefined, after: undefined } : null),
      step('Newer', newer && paged ? { after: newer, before: undefined } : null),
      step('Older', older ? { before: older, after: undefined } : null),
    ];
    replace(this.pager, steps());
    this.say(rows);
    const more = searched && older
      ? el('p', {}, `Searched back to ${stamp(searched)}. `, el('a', { class: 'button', href: address(state, { before: older, after: undefined }) }, 'Continue'))
      : rows.length > 20 ? el('nav', { class: 'pager', 'aria-label': 'Pages, below the list' }, steps()) : null;
    replace(this.foot, more);
  }

  say(rows) {
    if (!rows.length) {
      this.status.textContent = '';
      return;
    }
    const [last, first] = [rows[0], rows.at(-1)].map(({ timestamp }) => moment(Date.parse(timestamp)));
    const since = first.slice(0, 10) === last.slice(0, 10) ? first.slice(11) : first;
    this.status.textContent = `${count(rows.length)} ${rows.length === 1 ? 'line' : 'lines'}, ${last} back to ${since}`;
  }

  none({ searched_to: searched }) {
    if (searched) return nothing(`Nothing found back to ${stamp(searched)}`, el('p', {}, 'The search has not seen all of the range yet: continue below.'));
    const { state } = this;
    if (state.before || state.after) return nothing('The list ends here');
    return nothing('No requests in this range',
      why(state, this.signal, this.kind.path), this.kind.about ? el('p', {}, this.kind.about) : null,
      el('p', {}, el('a', { href: address(state, { from: '7d', to: undefined }) }, 'Look at the last 7 days')));
  }
}
