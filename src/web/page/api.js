// Requests to the server, and what the page shows while an answer is missing or after an error.

import { el, replace } from './dom.js';

/** Returns a JSON answer, or throws an error whose message is for people. */
export async function get(path, query, signal) {
  let answer;
  try {
    answer = await fetch(`api/${path}${query?.size ? `?${query}` : ''}`, { signal, headers: { accept: 'application/json' } });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Error('The server cannot be reached. It may be restarting.');
  }
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text);
  let message;
  try {
    message = JSON.parse(text).error;
  } catch {
    message = `The server answered ${answer.status} ${answer.statusText}`;
  }
  const error = new Error(message);
  error.status = answer.status;
  throw error;
}

/**
 * Shows the answer to a request in `place`. The old content stays, dimmed, until the answer comes,
 * so that the layout does not jump. An error replaces the content of `trouble`, with a retry button.
 */
export async function load(place, signal, ask, show, trouble = place) {
  const done = () => {
    place.classList.remove('loading');
    place.removeAttribute('aria-busy');
  };
  place.setAttribute('aria-busy', 'true');
  try {
    const answer = await ask();
    if (signal.aborted) return;
    if (trouble !== place) replace(trouble);
    show(answer);
    done();
  } catch (error) {
    if (signal.aborted) return;
    done();
    replace(trouble, failure(error, () => load(place, signal, ask, show, trouble)));
    if (error.status === undefined) console.warn(error);
  }
}

function failure(error, retry) {
  const wrong = error.status === 400;
  return el('div', { class: 'message error', role: 'alert' },
    el('p', { class: 'title' }, wrong ? 'This filter cannot be read' : 'This could not be loaded'),
    el('p', {}, error.message),
    wrong ? null : el('button', { type: 'button', onclick: retry }, 'Try again'));
}

/** Returns a message that there is nothing to show, why, and what to do. */
export function nothing(title, ...more) {
  return el('div', { class: 'message empty' }, el('p', { class: 'title' }, title), ...more);
}

/** Calls `run` at intervals while the page is visible, until the signal aborts. */
export function repeat(every, signal, run) {
  const timer = setInterval(() => { if (!document.hidden) run(); }, every);
  signal.addEventListener('abort', () => clearInterval(timer));
}
