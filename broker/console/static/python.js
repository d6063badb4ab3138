/** An ask in Python, by the broker's own client. */

const literal = (value) => JSON.stringify(value); // of texts, numbers and what is made of them: Python's, too
const empty = (value) =>
  value === undefined || value === null || (typeof value === 'object' && !Object.keys(value).length);

/** Arguments of a call, those that are there. */
const named = (pairs) =>
  Object.entries(pairs)
    .filter(([, value]) => !empty(value))
    .map(([name, value]) => `, ${name}=${literal(value)}`)
    .join('');

/** @param {import('./snippets.js').Told} told */
export function python(told) {
  const { vend, file } = told;
  if (file && (vend === 'url' || vend === 'multipart')) return program(told, [], upload(told));
  if (vend === 'multipart') return '';
  if (vend === 'credentials')
    return program(told, [], [`keys = client.credentials(${literal(told.route)})`, 'print(keys)']);
  if (vend === 'confirm')
    return program(told, [], [`print(client.confirm(${literal(told.route)}, ${literal(told.ask.key)}))`]);
  return vend === 'form'
    ? program(told, ['import requests'], form(told))
    : program(told, ['import urllib.request'], signed(told));
}

function program({ base, identity, claims }, imports, lines) {
  const token = identity.Authorization?.replace(/^Bearer /, '');
  const acting = { principal: identity['X-Principal'], principal_claims: identity['X-Principal-Claims'] && claims };
  const client = `client = BrokerClient(${literal(base)}, ${token ? literal(token) : 'None'}${named(acting)})`;
  const head = imports.length ? [...imports, ''] : [];
  return [...head, 'from broker.client import BrokerClient', '', client, ...lines, ''].join('\n');
}

function upload({ route, ask, file }) {
  const { inputs, key, headers } = ask;
  const others = Object.entries(headers ?? {}).filter(([name]) => !/^content-(length|type)$/i.test(name));
  const told = { inputs, key, content_type: headers?.['Content-Type'], headers: Object.fromEntries(others) };
  return [
    `stored = client.upload_file(${literal(route)}, ${literal(file)}${named(told)})`,
    'print(stored.key, stored.etag)',
  ];
}

function form({ route, ask, file }) {
  const { inputs, key, headers, expires_in } = ask;
  return [
    `form = client.form(${literal(route)}${named({ inputs, key, headers, expires_in })})`,
    `with open(${literal(file ?? 'FILE')}, "rb") as file:`,
    '    answer = requests.post(form.url, data=dict(form.fields), files={"file": file}, timeout=60)',
    'print(answer.status_code, answer.text)',
  ];
}

const CALLS = { url: 'get_presigned_url', 'download-url': 'get_presigned_download_url', signature: 'get_auth' };

function signed({ route, vend, ask, grant, file }) {
  const told = {
    Method: ask.method,
    Key: ask.key,
    Inputs: ask.inputs,
    Headers: ask.headers,
    Params: ask.params,
    Expired: ask.expires_in,
    Filename: ask.filename,
  };
  return [
    `grant = client.${CALLS[vend]}(${literal(route)}${named(told)})`,
    `request = urllib.request.Request(grant.url, method=${literal(grant.method)}, headers=dict(grant.headers))`,
    ...(file ? [`request.data = open(${literal(file)}, "rb").read()`] : []),
    'with urllib.request.urlopen(request) as answer:',
    '    print(answer.status, len(answer.read()), "bytes")',
  ];
}
