// What is not certain in the numbers of a filter, and the words for it.

import { percent, stamp } from './format.js';

/**
 * Returns whether the counts of requests (`rows`) and everything else (`rest`: times, bytes) are estimates, and the
 * `words` about it; they are empty if everything is exact.
 */
export function doubts({ share, error, stopped, gone_before: gone }) {
  const [rows, rest] = [share < 1 && error > 0, share < 1];
  const said = [];
  if (rest) {
    const what = rows ? 'Numbers and charts are' : 'The numbers of requests are exact; times and bytes are';
    const part = `from ${percent(share)} of the requests in this range`;
    said.push(stopped
      ? `${what} estimates ${part}: ${stopped}. A shorter range is counted to its end.`
      : `${what} estimates ${part} until all are counted.`);
  }
  if (gone) said.push(`Rows before ${stamp(gone)} were removed from the log: what their counts do not tell is missing here.`);
  return { rows, rest, words: said.join(' ') };
}
