// New lines as the server sends them. They are handed on a few times a second, however many come.

const EVERY = 250;
const AGAIN = 3000;

export class Tail {
  /** `on`: opened() at each (re)connection, came(rows, skipped) oldest first, lost(reason). */
  constructor(query, on) {
    this.address = `api/tail?${query}`;
    this.on = on;
    this.rows = [];
    this.skipped = false;
    this.timer = setInterval(() => this.flush(), EVERY);
    this.connect();
  }

  connect() {
    this.source = new EventSource(this.address);
    this.source.addEventListener('open', () => this.on.opened());
    this.source.addEventListener('row', ({ data }) => this.rows.push(JSON.parse(data)));
    this.source.addEventListener('skipped', () => { this.skipped = true; });
    this.source.addEventListener('trouble', ({ data }) => this.on.lost(JSON.parse(data).error));
    this.source.addEventListener('error', () => {
      this.on.lost();
      // The browser connects again by itself, unless it was refused.
      if (this.source.readyState === EventSource.CLOSED) this.again = setTimeout(() => this.connect(), AGAIN);
    });
  }

  flush() {
    if (!this.rows.length && !this.skipped) return;
    const { rows, skipped } = this;
    this.rows = [];
    this.skipped = false;
    this.on.came(rows, skipped);
  }

  close() {
    clearInterval(this.timer);
    clearTimeout(this.again);
    this.source.close();
  }
}
