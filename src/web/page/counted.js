// Counts what meets the filter, answer by answer, and again while the view is live.

import { load, repeat, steps } from './api.js';
import { query, terms } from './filter.js';
import { isLive } from './live.js';

const EVERY = 10e3;

/**
 * Passes each answer to `step`, and with the last one of a count how many milliseconds that took, else null. `place` waits
 * for it, `trouble` shows an error, `beside` loads what belongs to it.
 */
export async function counted({ place, trouble, state, signal, beside = () => undefined }, step) {
  // Without a filter one answer has everything: it needs no place among the long ones.
  const path = terms(state).length ? 'overview/progress' : 'overview';
  let busy = false;
  let rest = 0;
  const refresh = () => {
    if (busy || Date.now() < rest) return undefined;
    const began = Date.now();
    busy = true;
    const take = (answer) => {
      busy = answer.share < 1 && !answer.stopped;
      const took = Date.now() - began;
      // What takes long to count is counted again more rarely.
      if (!busy) rest = Date.now() + 4 * took;
      step(answer, busy ? null : took);
    };
    const asked = () => steps(path, query(state), signal, take).catch((error) => {
      busy = false;
      throw error;
    });
    return Promise.all([load(place, signal, asked, take, trouble), beside()]);
  };
  await refresh();
  if (isLive(state)) repeat(EVERY, signal, refresh);
}
