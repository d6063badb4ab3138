/** What an ask brought, laid out: a countdown, its URL taken apart, the same as code; or its refusal. */

import { anatomy } from './anatomy.js';
import { duration, find, h } from './dom.js';
import { readable, shortened, without } from './secrets.js';
import { snippets } from './snippets.js';

let ticking;

export function clear() {
  clearInterval(ticking);
  find('#result').replaceChildren();
  for (const field of document.querySelectorAll('#ask [aria-invalid]')) field.removeAttribute('aria-invalid');
}

export const add = (...parts) => find('#result').append(...parts.flat().filter(Boolean));

/** Says one thing to screen readers, too. */
export const tell = (text) => (find('#told').textContent = text);

const scrolling = (label, ...children) => h('pre', { tabindex: '0', 'aria-label': label }, h('code', {}, ...children));

/**
 * Counts down to the end of what was granted; by a clock that nobody sets, from the moment of the answer.
 * @param {number} seconds @param {() => void} ended
 */
export function countdown(seconds, ended) {
  const ends = performance.now() + seconds * 1000;
  const bar = h('progress', { max: seconds, value: seconds, 'aria-label': 'Time left' });
  const text = h('span', { role: 'timer' });
  const block = h('p', { class: 'countdown' }, text, bar);
  const tick = () => {
    const left = (ends - performance.now()) / 1000;
    bar.value = Math.max(0, left);
    text.textContent =
      left > 0 ? `Works for ${duration(left)} more` : 'Expired: COS refuses it now. Ask again for a new one.';
    if (left > 0) return;
    clearInterval(ticking);
    block.classList.add('expired');
    tell('What was granted has expired. Ask again for a new one.');
    ended();
  };
  clearInterval(ticking);
  ticking = setInterval(tick, 250);
  tick();
  return block;
}

/** A URL, parameter by parameter. */
export function apart(title, url, method) {
  const code = (text) => h('code', {}, h('bdi', {}, text));
  const row = ({ name, value, meaning }) =>
    h('tr', {}, h('th', { scope: 'row' }, code(name)), h('td', {}, code(shortened(name, value))), h('td', {}, meaning));
  const heads = ['Piece', 'Value', 'What it means'].map((text) => h('th', { scope: 'col' }, text));
  const table = h('table', {}, h('thead', {}, h('tr', {}, heads)), h('tbody', {}, anatomy(url, method).map(row)));
  return h(
    'section',
    { class: 'anatomy', 'aria-label': title },
    h('h2', {}, title),
    h('p', { class: 'do' }, copying('Copy the URL', url)),
    h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': title }, table),
  );
}

/** A button that copies a text. */
function copying(label, text) {
  const button = h('button', { type: 'button', class: 'plain' }, label);
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = 'Copied';
      tell('Copied.');
    } catch {
      button.textContent = 'The browser does not let this page copy';
    }
    setTimeout(() => (button.textContent = label), 2000);
  });
  return button;
}

/** The same ask as code. The token is hidden from view, and stands in what is copied. */
export function asCode(told) {
  const { Authorization: token } = told.identity;
  const block = ([language, text], index) =>
    h(
      'details',
      { name: 'code', open: index === 0 },
      h('summary', {}, language),
      h('p', { class: 'do' }, copying(`Copy ${language}`, text)),
      scrolling(language, without(text, token)),
    );
  const note = `Works when it is pasted.${token ? ' Your token is hidden here; the copy holds it.' : ''}`;
  const blocks = snippets(told).map(block);
  return h(
    'section',
    { class: 'code', 'aria-label': 'As code' },
    h('h2', {}, 'As code'),
    h('p', { class: 'quiet' }, note),
    blocks,
  );
}

/** The whole answer as JSON. */
export function raw(answer) {
  const title = 'The whole answer';
  return h('details', {}, h('summary', {}, title), scrolling(title, readable(answer)));
}

/** A refusal as the caller gets it, pointing at the fields that it is about; the first one is focused. */
export function refusal(error, advice) {
  const points = (error.errors ?? []).map(({ field, message }) => pointed(field, message));
  points.find(({ input }) => input)?.input.focus();
  tell(`Refused: ${error.message}`);
  const status = error.status ? ` ${error.status} ` : ' ';
  return h(
    'div',
    { class: 'refused', id: 'refusal' },
    h('p', {}, h('strong', {}, error.code ?? error.name), status, h('bdi', {}, error.detail || error.message)),
    points.length > 0 &&
      h(
        'ul',
        {},
        points.map(({ item }) => item),
      ),
    advice && h('p', {}, advice),
    error.requestId && h('p', { class: 'quiet' }, `Request ${error.requestId}`),
  );
}

// What the file says itself: there it has to be changed.
const OF_THE_FILE = ['size', 'headers.Content-Length'];

function pointed(field, message) {
  const own = OF_THE_FILE.includes(field) ? 'file' : /^headers\.x-cos-meta-/i.test(field) ? 'meta' : field;
  const name = own.toLowerCase();
  const input = [...find('#ask').elements].find((one) => one.name.toLowerCase() === name);
  if (!input) return { item: h('li', {}, h('code', {}, field), ' ', message) };
  input.setAttribute('aria-invalid', 'true');
  const link = h('a', { href: `#${input.id}` }, field);
  link.addEventListener('click', (event) => {
    event.preventDefault();
    input.focus();
  });
  return { input, item: h('li', {}, link, ' ', message) };
}
