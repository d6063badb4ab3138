/**
 * The same ask in curl, Python and JavaScript: texts that work when they are pasted.
 *
 * @typedef {object} Told What was asked, of whom, by whom, and what it brought.
 * @property {string} base where the API lies, without `/v1`
 * @property {string} route
 * @property {string} vend
 * @property {any} ask
 * @property {any} grant the answer
 * @property {Record<string, string>} identity headers that say who asks
 * @property {object} claims further ones of whom an API key acts for
 * @property {string} [file] name of the file that goes with it
 */

import { curl } from './curl.js';
import { javascript } from './javascript.js';
import { python } from './python.js';

/** @param {Told} told @returns {[string, string][]} (language, text) */
export function snippets(told) {
  const texts = [
    ['curl', curl(told)],
    ['Python', python(told)],
    ['JavaScript', javascript(told)],
  ];
  return texts.filter(([, text]) => text);
}
