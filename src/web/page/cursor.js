// One cursor for all charts: each chart shows the values at the position of the mouse or keyboard in
// one of them. Dragging, or Shift with the arrow keys, selects a range; a click opens what is there.

// A second click within this time makes it a double-click.
const DOUBLE_MS = 300;

/**
 * `on`: zoom(from, to), out(), open(at), ask(from, to, chart) and moved(at, anchor), with numbers of slots; asking() returns
 * whether a selection is for `ask`, as it is with Alt.
 */
export function connect(charts, on) {
  let at = null;
  let time = null; // where the cursor is, which new data must not move
  let anchor = null;
  let drag = null;
  let click;

  const length = () => charts[0].data?.list.length ?? 0;

  function move(to) {
    at = to === null ? null : Math.min(length() - 1, Math.max(0, to));
    time = at === null ? null : charts[0].timeOf(at);
    charts.forEach((chart) => chart.mark(at));
  }

  function select(from) {
    anchor = from;
    charts.forEach((chart) => chart.select(anchor, at));
  }

  function zoom() {
    const [from, to] = [Math.min(anchor, at), Math.max(anchor, at)];
    select(null);
    on.zoom(from, to);
  }

  function ask(chart) {
    const [from, to] = [Math.min(anchor ?? at, at), Math.max(anchor ?? at, at)];
    select(null);
    on.ask(from, to, chart);
  }

  function key(chart, event) {
    if (!length() || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = length() - 1;
    const from = at ?? (event.key === 'ArrowRight' ? -1 : last + 1);
    const steps = {
      ArrowLeft: from - 1, ArrowRight: from + 1, PageUp: from - 10, PageDown: from + 10, Home: 0, End: last,
    };
    if (event.key in steps) {
      if (event.shiftKey && anchor === null) anchor = at ?? Math.min(last, Math.max(0, steps[event.key]));
      move(steps[event.key]);
      select(event.shiftKey ? anchor : null);
      on.moved(at, anchor);
    } else if ((event.key === 'w' || (event.key === 'Enter' && on.asking())) && at !== null) {
      ask(chart);
    } else if (event.key === 'Enter' && at !== null) {
      if (anchor === null) on.open(at);
      else zoom();
    } else if (event.key === '-') {
      on.out();
    } else if (event.key === 'Escape') {
      move(null);
      select(null);
    } else {
      return;
    }
    event.preventDefault();
  }

  for (const chart of charts) {
    const { plot } = chart;
    const slot = (event) => chart.slotAt(event.clientX - plot.getBoundingClientRect().left);
    plot.addEventListener('keydown', (event) => key(chart, event));
    plot.addEventListener('blur', () => { move(null); select(null); });
    plot.addEventListener('pointerdown', (event) => {
      if (!length() || event.button !== 0) return;
      plot.setPointerCapture(event.pointerId);
      drag = { x: event.clientX, ask: event.altKey || on.asking() };
      move(slot(event));
    });
    plot.addEventListener('pointermove', (event) => {
      if (!length()) return;
      move(slot(event));
      // A click may move the mouse by a few pixels.
      if (drag && (anchor !== null || Math.abs(event.clientX - drag.x) > 4)) {
        select(anchor ?? chart.slotAt(drag.x - plot.getBoundingClientRect().left));
      }
    });
    plot.addEventListener('pointerup', () => {
      if (drag?.ask) ask(chart);
      else if (drag && anchor !== null) zoom();
      else if (drag && chart.data.list[at]) {
        const there = at;
        clearTimeout(click);
        click = setTimeout(() => on.open(there), DOUBLE_MS);
      }
      drag = null;
    });
    plot.addEventListener('pointercancel', () => { drag = null; select(null); });
    plot.addEventListener('pointerleave', () => { if (!drag && document.activeElement !== plot) move(null); });
    plot.addEventListener('dblclick', () => { clearTimeout(click); on.out(); });
  }

  return {
    /** Clears the selection after new data, whose slots differ. The cursor stays at its time. */
    reset() {
      clearTimeout(click);
      if (drag) return;
      select(null);
      if (time !== null) move(charts[0].slotOf(time));
    },
  };
}
