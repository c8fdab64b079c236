// Whether a view follows what comes, and when it was last updated. A view whose range ends now is live until it is
// paused.

import { seconds } from './format.js';

const place = document.getElementById('updated');

/** Returns whether the range ends now. The files view has no range. */
export const endsNow = (state) => (state.view === 'files' || !state.to) && !state.before && !state.after;

/** Returns whether the view follows what comes: a list that is sorted, or whose older pages are read, stands still. */
export const isLive = (state) => endsNow(state) && state.live !== '0' && !state.sort;

/** Says when the data of the view is from; without a time nothing. A range with an end needs no such time. */
export function updated(state, now = Date.now()) {
  // It keeps its place: nothing moves when the time is known.
  const isKnown = Boolean(now) && endsNow(state);
  place.classList.toggle('unknown', !isKnown);
  if (!isKnown) return;
  place.dateTime = new Date(now).toISOString();
  place.textContent = `updated ${seconds(now)}`;
}
