// Asks the server, and lays out what there is to see while, and if, it does not answer.

import { el, replace } from './dom.js';

/** A JSON answer; an error holds a sentence for people. */
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
  let said;
  try {
    said = JSON.parse(text).error;
  } catch {
    said = `The server answered ${answer.status} ${answer.statusText}`;
  }
  const error = new Error(said);
  error.status = answer.status;
  throw error;
}

/**
 * Fills a place with what was asked for. What stood there stays, dimmed, until the answer comes, so
 * nothing jumps; an error takes its place, or that of `trouble`, together with a way to try again.
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
    el('p', { class: 'said' }, wrong ? 'This filter cannot be read' : 'This could not be loaded'),
    el('p', {}, error.message),
    wrong ? null : el('button', { type: 'button', onclick: retry }, 'Try again'));
}

/** Why there is nothing, and what may be done about it. */
export function nothing(title, ...more) {
  return el('div', { class: 'message empty' }, el('p', { class: 'said' }, title), ...more);
}

/** Runs again and again while the page is looked at, until the signal ends it. */
export function repeat(every, signal, run) {
  const timer = setInterval(() => { if (!document.hidden) run(); }, every);
  signal.addEventListener('abort', () => clearInterval(timer));
}
