/** What stands in the form: who asks, for what, with which file. */

import { find, size } from './dom.js';
import { headers as identityOf, isKey, session } from './session.js';

const CLAIM = /^claims\./;

/** Whom an API key acts for can be chosen; a JWT says it itself. */
export function showCaller() {
  const { token, principal, claims } = session();
  const acts = isKey(token);
  const [acting, told] = [find('#acting'), find('#as')];
  acting.hidden = !acts;
  told.hidden = acts;
  const nobody = 'As whoever this page was opened by: nobody has signed in.';
  told.textContent = token ? 'As the JWT says that you signed in with.' : nobody;
  const known = { ...claims, ...(principal ? { sub: principal } : {}) };
  for (const input of acting.querySelectorAll('input')) {
    const value = known[input.name.replace(CLAIM, '')];
    if (value !== undefined) input.value = typeof value === 'string' ? value : JSON.stringify(value);
  }
}

/** @returns {{headers: Record<string, string>, claims: object}} who asks, and the further claims that were chosen */
export function caller() {
  const { token } = session();
  if (!isKey(token)) return { headers: identityOf(), claims: {} };
  const filled = [...find('#acting').querySelectorAll('input')].filter(({ value }) => value);
  const { sub, ...further } = Object.fromEntries(filled.map(({ name, value }) => [name.replace(CLAIM, ''), value]));
  const claims = Object.fromEntries(Object.entries(further).map(([name, value]) => [name, read(value)]));
  return { headers: identityOf({ token, principal: sub, claims }), claims };
}

/** What a claim's field holds: JSON where it is a number, a truth value or a list, else text. */
const read = (value) => (/^(true|false|-?[0-9]+|\[.*\])$/.test(value) ? JSON.parse(value) : value);

/** The ask in a form's fields, those that are filled in; a file says its type and length itself.
 *  @param {HTMLFormElement} form @param {File} [file] */
export function askOf(form, file) {
  const { vend, method } = form.dataset;
  const ask = 'saysMethod' in form.dataset ? { method } : {};
  for (const field of form.elements) if (field.value && field.name) enter(ask, field);
  if (ask.key) delete ask.inputs;
  const declare = (name, value) => {
    if (value && form.elements[`headers.${name}`] && !ask.headers?.[name]) (ask.headers ??= {})[name] = value;
  };
  if (file) declare('Content-Type', file.type);
  if (file && vend !== 'form' && vend !== 'multipart') declare('Content-Length', String(file.size));
  return ask;
}

function enter(ask, { name, value, inputMode }) {
  if (name === 'file' || CLAIM.test(name)) return;
  const [member, ...rest] = name.split('.');
  if (name === 'meta') Object.assign((ask.headers ??= {}), meta(value));
  else if (rest.length) (ask[member] ??= {})[rest.join('.')] = value;
  else ask[member] = inputMode === 'numeric' && /^[0-9]+$/.test(value) ? Number(value) : value;
}

/** Lines such as `x-cos-meta-author: u1`. */
function meta(text) {
  const lines = text.split('\n').filter((line) => line.includes(':'));
  return Object.fromEntries(lines.map((line) => line.split(/:(.*)/s, 2).map((one) => one.trim())));
}

/** The refusal of a file that no broker needs to be asked about. @param {File} file @param {number} most bytes */
export function tooLarge(file, most) {
  const sizes = `${file.name} has ${size(file.size)}; at most ${size(most)} go up here.`;
  const text = `${sizes} Nothing was sent: choose a smaller file.`;
  const errors = [{ field: 'file', message: `must be at most ${most} bytes, got ${file.size}` }];
  return Object.assign(new Error(text), { code: 'content_too_large', errors });
}

/** The refusal of an upload without a file. */
export function noFile() {
  const errors = [{ field: 'file', message: 'is needed' }];
  return Object.assign(new Error('Choose a file first: an upload in parts is made of one.'), {
    code: 'no_file',
    errors,
  });
}
