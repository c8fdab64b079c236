// Requests to the server, and what the page shows while an answer is missing or after an error.

import { el, replace } from './dom.js';

/** Returns a JSON answer, or throws an error whose message is for people. */
export async function get(path, query, signal) {
  return (await ask(path, query, signal)).json();
}

/**
 * Asks for an answer that becomes better step by step, in lines of JSON. Returns the first one, and passes each further
 * one to `more`. The last one has the share 1, or `stopped` with the reason.
 */
export async function steps(path, query, signal, more) {
  const lines = linesOf(await ask(path, query, signal));
  const { value: first } = await lines.next();
  if (first === undefined) throw new Error('The server ended its answer too early. It may be restarting.');
  const follow = async () => {
    let last = first;
    for (;;) {
      const { value, done } = await lines.next().catch(() => ({ done: true })); // the connection is lost, or the view was left
      if (done) break;
      last = value;
      if (!signal.aborted) more(last);
    }
    if (!signal.aborted && last.share < 1 && !last.stopped) more({ ...last, stopped: 'the connection was lost' });
  };
  follow();
  return first;
}

async function* linesOf(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) {
      // An answer in one piece has no newline at its end.
      if (text) yield JSON.parse(text);
      return;
    }
    const parts = (text + value).split('\n');
    text = parts.pop();
    for (const part of parts) yield JSON.parse(part);
  }
}

async function ask(path, query, signal) {
  let answer;
  try {
    answer = await fetch(`api/${path}${query?.size ? `?${query}` : ''}`, { signal, headers: { accept: 'application/json' } });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Error('The server cannot be reached. It may be restarting.');
  }
  if (answer.ok) return answer;
  const text = await answer.text();
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
  return el('div', { class: 'message empty' }, el('p', { class: 'title' }, title), ...more.flat());
}

/** Calls `run` at intervals until the signal aborts, while the page is visible and no text of it is selected. */
export function repeat(every, signal, run) {
  const timer = setInterval(() => { if (!document.hidden && !String(getSelection())) run(); }, every);
  signal.addEventListener('abort', () => clearInterval(timer));
}
