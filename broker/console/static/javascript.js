/** An ask in JavaScript, for Node and, but for how a file is opened, for pages. */

const literal = (value) => JSON.stringify(value);
const OPENING = "import { openAsBlob } from 'node:fs'; // in a page: the file of an <input>";
const opened = (file, type) =>
  `const file = await openAsBlob(${literal(file)}${type ? `, { type: ${literal(type)} }` : ''});`;

/** @param {import('./snippets.js').Told} told */
export function javascript(told) {
  const { vend, file, grant } = told;
  const lines = {
    multipart: () => [OPENING, ...inParts(told)],
    credentials: () => [...asking(told), 'console.log(grant.key_prefix, grant.actions, grant.expiration);'],
    confirm: () => [...asking(told), 'console.log(grant);'],
    form: () => [OPENING, ...asking(told), ...form(told)],
  };
  const uploads = grant?.method === 'PUT' && file;
  const signed = () => [
    ...(uploads ? [OPENING] : []),
    ...asking(told),
    ...(uploads ? [opened(file)] : []),
    ...sent(uploads),
  ];
  return [...(lines[vend] ?? signed)(), ''].join('\n');
}

function asking({ base, route, vend, ask, identity }) {
  return [
    `const granted = await fetch(${literal(`${base}/v1/${route}/${vend}`)}, {`,
    "  method: 'POST',",
    `  headers: ${literal({ ...identity, 'Content-Type': 'application/json' })},`,
    `  body: JSON.stringify(${literal(ask)}),`,
    '});',
    'if (!granted.ok) throw new Error((await granted.json()).detail);',
    'const grant = await granted.json();',
  ];
}

const sent = (uploads) => [
  "const { 'Content-Length': _, ...headers } = grant.headers; // fetch says the length itself",
  `const answer = await fetch(grant.url, { method: grant.method, headers${uploads ? ', body: file' : ''} });`,
  'console.log(answer.status, grant.key);',
];

const form = ({ file }) => [
  opened(file ?? 'FILE'),
  'const form = new FormData();',
  'for (const [name, value] of Object.entries(grant.fields)) form.append(name, value);',
  "form.append('file', file); // after all fields",
  "const answer = await fetch(grant.url, { method: 'POST', body: form });",
  'console.log(answer.status, grant.key);',
];

function inParts({ base, route, ask, identity, file }) {
  const { inputs, key } = ask;
  return [
    opened(file, ask.headers?.['Content-Type']),
    `// In a page: import { upload } from ${literal(`${base}/client.js`)};`,
    `const source = await (await fetch(${literal(`${base}/client.js`)})).text();`,
    'const { upload } = await import(`data:text/javascript,${encodeURIComponent(source)}`);',
    `const stored = await upload(${literal(base)}, ${literal(route)}, file, {`,
    `  ...${literal({ inputs, key })},`,
    `  getHeaders: () => (${literal(identity)}),`,
    '  multipartFrom: 0,',
    '});',
    'console.log(stored);',
  ];
}
