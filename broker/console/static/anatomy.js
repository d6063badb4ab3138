/** A signed URL taken apart: what each piece of it is, in plain words. */

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString();

const between = (value) => {
  const [from, until] = value.split(';').map(Number);
  return `${clock(from)} to ${clock(until)}`;
};
const listed = (value) => value.split(';').filter(Boolean).join(', ');

const KNOWN = {
  'q-sign-algorithm': () => 'How it is signed: HMAC with SHA-1, the one way that COS has.',
  'q-ak': () => 'The id of the temporary key that signed. The key itself never leaves the broker.',
  'q-sign-time': (value) =>
    `When the URL works: from ${between(value)}. It begins a minute early, since clocks differ.`,
  'q-key-time': (value) => `The span for which the signing key was made; the same one, ${between(value)}.`,
  'q-header-list': (value) =>
    value
      ? `Headers that are signed. The request must carry them exactly as granted: ${listed(value)}.`
      : 'No header is signed.',
  'q-url-param-list': (value) =>
    value ? `Parameters that are signed, so that none can be changed: ${listed(value)}.` : 'No parameter is signed.',
  'q-signature': () =>
    'The signature over method, key, headers, parameters and times. Change one of them, and COS answers 403.',
  'x-cos-security-token': () =>
    'Says which temporary key this is, and what it may do at most: the second lock. It is signed, too.',
  sign: () => 'All of the signature in one parameter.',
  partnumber: (value) =>
    `Which part of the upload this request sends: number ${value}. Another number does not fit the signature.`,
  uploadid: () => 'Which upload in parts it belongs to; COS named it when the upload began.',
  uploads: () => 'Begins an upload in parts.',
  versionid: () => 'Which version of the object.',
  prefix: (value) => `Lists only keys that begin with ${value}.`,
  'response-content-disposition': (value) =>
    `COS answers with Content-Disposition: ${value}. It decides the name to save under.`,
};

/** What a parameter means. @param {string} name @param {string} value @param {Set<string>} signed in lower case */
function meaning(name, value, signed) {
  const lower = name.toLowerCase();
  if (KNOWN[lower]) return KNOWN[lower](value);
  const answered = lower.match(/^response-(.+)$/)?.[1];
  if (answered) return `COS answers with the header ${answered}: ${value}, whatever is stored.`;
  const held = signed.has(lower) ? 'Signed: nobody can change or drop it.' : 'Not signed.';
  if (/^(imagemogr2|imageview2|watermark|ci-process)/.test(lower))
    return `COS processes the picture before it answers. ${held}`;
  return `A parameter of the request. ${held}`;
}

/** The pieces of a URL: [{name, value, meaning}]. */
export function anatomy(url, method) {
  const parsed = new URL(url);
  const list = (parsed.searchParams.get('q-url-param-list') ?? '').split(';');
  const signed = new Set(list.map(decodeURIComponent));
  const path = decodeURIComponent(parsed.pathname);
  return [
    { name: 'method', value: method, meaning: 'Signed: the URL serves no other method.' },
    { name: 'host', value: parsed.host, meaning: 'The bucket. Signed: it works at no other.' },
    { name: 'path', value: path, meaning: "The object's key. Signed: no other object is reached." },
    ...[...parsed.searchParams].map(([name, value]) => ({ name, value, meaning: meaning(name, value, signed) })),
  ];
}
