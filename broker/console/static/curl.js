/** An ask for a shell, with curl and what every system has besides. */

const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
const header = ([name, value]) => `-H ${quoted(`${name}: ${value}`)}`;
const command = (...words) => words.join(' \\\n  ');

/** @param {import('./snippets.js').Told} told */
export function curl(told) {
  if (told.vend === 'multipart') return ''; // it is many requests: the clients of the other languages know how
  if (told.vend === 'credentials' || told.vend === 'confirm') return asking(told);
  return told.vend === 'form' ? form(told) : signed(told);
}

function asking({ base, route, vend, ask, identity }) {
  return command(
    `curl -sS --fail-with-body -X POST ${quoted(`${base}/v1/${route}/${vend}`)}`,
    ...Object.entries(identity).map(header),
    header(['Content-Type', 'application/json']),
    `-d ${quoted(JSON.stringify(ask))}`,
  );
}

// Its fields as a configuration file of curl, whose strings are written as in JSON.
const FIELDS = [
  'import json,sys; form = json.load(sys.stdin); print("url =", json.dumps(form["url"]));',
  '[print("form-string =", json.dumps(f"{name}={value}", ensure_ascii=False))',
  'for name, value in form["fields"].items()]',
].join(' ');

function form(told) {
  return [
    `FILE=${quoted(told.file ?? 'FILE')}`,
    command(asking(told), `| python3 -c ${quoted(FIELDS)} > form.curl`),
    '# The file goes after all fields.',
    'curl -sS --fail-with-body -K form.curl -F file=@- < "$FILE"; rm form.curl',
  ].join('\n');
}

/** What the shell reads of an answer that it has kept. */
const read = (member) => `$(printf '%s' "$GRANT" | sed -n 's/.*"${member}": *"\\([^"]*\\)".*/\\1/p')`;
const OF_THE_ANSWER = ['Authorization', 'x-cos-security-token'];
const WAYS = { HEAD: '--head', GET: '-o downloaded' };

function signed(told) {
  const { grant, vend, file } = told;
  const uploads = grant.method === 'PUT' && file;
  const headers = Object.entries(grant.headers).filter(([name]) => !/^(content-length|host)$/i.test(name));
  const changing = (name) => vend === 'signature' && OF_THE_ANSWER.includes(name);
  const sending = command(
    `curl -sS --fail-with-body ${WAYS[grant.method] ?? `-X ${grant.method}`}`,
    `"${read('url')}"`,
    ...headers.map(([name, value]) => (changing(name) ? `-H "${name}: ${read(name)}"` : header([name, value]))),
    ...(uploads ? ['--data-binary "@$FILE"'] : []),
  );
  return [...(uploads ? [`FILE=${quoted(file)}`] : []), `GRANT=$(${asking(told)})`, sending].join('\n');
}
