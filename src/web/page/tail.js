// Receives new lines from the server, and passes them on a few times a second in groups.

const FLUSH_MS = 250;
const RECONNECT_MS = 3000;

export class Tail {
  /**
   * `on`: opened() at each (re)connection, received(rows, skipped) oldest first, looked() after each look of the server for new rows,
   * lost(reason).
   */
  constructor(query, on) {
    this.address = `api/tail?${query}`;
    this.on = on;
    this.rows = [];
    this.skipped = false;
    this.timer = setInterval(() => this.flush(), FLUSH_MS);
    this.connect();
  }

  connect() {
    this.source = new EventSource(this.address);
    this.source.addEventListener('open', () => this.on.opened());
    this.source.addEventListener('row', ({ data }) => this.rows.push(JSON.parse(data)));
    this.source.addEventListener('skipped', () => { this.skipped = true; });
    this.source.addEventListener('looked', () => this.on.looked());
    this.source.addEventListener('trouble', ({ data }) => this.on.lost(JSON.parse(data).error));
    this.source.addEventListener('error', () => {
      this.on.lost();
      // The browser reconnects by itself, except after an error status.
      if (this.source.readyState === EventSource.CLOSED) this.again = setTimeout(() => this.connect(), RECONNECT_MS);
    });
  }

  flush() {
    if (!this.rows.length && !this.skipped) return;
    const { rows, skipped } = this;
    this.rows = [];
    this.skipped = false;
    this.on.received(rows, skipped);
  }

  close() {
    clearInterval(this.timer);
    clearTimeout(this.again);
    this.source.close();
  }
}
