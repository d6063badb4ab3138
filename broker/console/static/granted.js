/** What was granted, in brief, and what can be done with it at once. */

import { duration, h, size } from './dom.js';
import { shortened } from './secrets.js';

/** (name, value) pairs, those that have a value. */
export function facts(pairs) {
  const rows = pairs.filter(([, value]) => value !== undefined && value !== '');
  const row = ([name, value]) => [
    h('dt', {}, name),
    h('dd', {}, value instanceof Node ? value : h('bdi', {}, String(value))),
  ];
  return h('dl', { class: 'facts-table' }, rows.flatMap(row));
}

const list = (pairs) =>
  h(
    'div',
    {},
    pairs.map(([name, value]) => h('div', {}, h('code', {}, `${name}: ${shortened(name, value)}`))),
  );

/** @param {string} vend @param {any} grant */
export function granted(vend, grant) {
  const bucket = ['Bucket', `${grant.bucket}, ${grant.region}`];
  const key = ['Key', grant.key];
  if (vend === 'credentials') {
    const keys = ['Keys', list(Object.entries(grant.credentials))];
    return facts([['Below', grant.key_prefix], ['May', grant.actions.join(', ')], bucket, keys]);
  }
  if (vend === 'confirm') {
    const policy = grant.satisfies ? 'is satisfied' : `is not: ${grant.problems.join(', ')}`;
    const length = ['Length', size(grant.content_length)];
    return facts([key, ['Type', grant.content_type], length, ['ETag', grant.etag], ['The policy', policy]]);
  }
  if (vend === 'form') return facts([key, ['To', grant.url], ['Fields', list(Object.entries(grant.fields))]]);
  const headers = Object.entries(grant.headers);
  return facts([key, bucket, ['To send', headers.length ? list(headers) : 'no header']]);
}

/** A button whose answer, or refusal, takes the place beside it. */
function answering(label, place, refused, act) {
  const button = h('button', { type: 'button', class: 'second' }, label);
  button.addEventListener('click', async () => {
    button.disabled = true;
    place.replaceChildren(...[await act().catch(refused)].flat());
    button.disabled = false;
  });
  return button;
}

const download = (url) =>
  h('a', { id: 'open', class: 'button', href: url, target: '_blank', rel: 'noreferrer' }, 'Download');
const notice = (text) => h('p', { class: 'notice' }, text);

/** What can be done with a signed request: opened, looked at, or sent when somebody says so. */
export function actions(client, grant, refused) {
  const { method, url, headers } = grant;
  if (method === 'PUT' || method === 'POST') return []; // they need a file
  const place = h('div', { id: 'looked' });
  const look = () => looked(client, grant);
  const send = async () => notice(`COS answered ${(await client.sendSigned(grant)).status} to ${method}.`);
  const button =
    method === 'GET'
      ? answering('Preview', place, refused, look)
      : answering(`Send the ${method}`, place, refused, send);
  const bare = method === 'GET' && !Object.keys(headers).length;
  return [h('p', { class: 'do' }, bare && download(url), button), place];
}

async function looked(client, { url, headers }) {
  const answer = await fetch(url, { headers }).catch(() => {
    throw new client.StoreError('unreachable', 0, 'COS does not answer, or its CORS rule excludes this page');
  });
  if (answer.ok) return preview(await answer.blob(), 'the object');
  const code = /<Code>(.*?)<\/Code>/.exec(await answer.text())?.[1] ?? `http_${answer.status}`;
  throw new client.StoreError(code, answer.status, 'COS refuses the link');
}

/** What was stored. `link` asks `reader` for a link to it, `confirm` the broker whether it is there, if they are given. */
export async function stored(file, refused, { reader, link, confirm }) {
  const place = h('div', {});
  const linked = async () => {
    const { url, expires_in: seconds } = await link();
    return [download(url), ` works for ${duration(seconds)}, by ${reader}`];
  };
  const confirmed = async () => {
    const told = await confirm();
    const policy = told.satisfies ? 'satisfied' : 'not satisfied';
    return notice(`It is there: ${size(told.content_length)}, ${told.content_type}; the policy is ${policy}.`);
  };
  const buttons = [
    link && answering(`A link from ${reader}`, place, refused, linked),
    confirm && answering('Is it there?', place, refused, confirmed),
  ];
  const shown = await preview(file, file.name);
  return h(
    'section',
    { class: 'stored', 'aria-label': 'What was stored' },
    shown,
    h('p', { class: 'do' }, buttons),
    place,
  );
}

const PICTURE_BYTES = 32 * 2 ** 20;
const TEXT_BYTES = 64 * 1024;

/** A picture or a short text to look at. @param {Blob} blob @param {string} name */
async function preview(blob, name) {
  const { type } = blob;
  if (type.startsWith('image/') && type !== 'image/svg+xml' && blob.size <= PICTURE_BYTES) {
    const address = URL.createObjectURL(blob);
    const shown = h('img', { src: address, alt: `Preview of ${name}`, class: 'preview' });
    shown.addEventListener('load', () => URL.revokeObjectURL(address), { once: true });
    return shown;
  }
  if ((type.startsWith('text/') || type === 'application/json') && blob.size <= TEXT_BYTES)
    return h('pre', { tabindex: '0', 'aria-label': `Preview of ${name}` }, h('code', {}, await blob.text()));
  return h('p', { class: 'quiet' }, `No preview of ${type || 'a file without a type'}.`);
}
