/**
 * Uploads to COS, and links from it, by a broker: it signs requests one by one, this module sends them to the bucket.
 *
 * One file without dependencies or build step, for pages with a strict Content-Security-Policy (`connect-src` needs the
 * broker and the bucket). In Node fetch takes the place of XMLHttpRequest, and progress comes once a request is done.
 * Nothing is logged. The bucket's CORS rule must expose ETag.
 *
 * @typedef {object} Options What every function here takes.
 * @property {string} [token] sent to the broker as `Authorization: Bearer …`
 * @property {() => Record<string, string> | Promise<Record<string, string>>} [getHeaders] headers for the broker, asked
 *   for before every request to it; for tokens that are renewed, or for a BFF's CSRF header
 * @property {string} [key] the object's key, or
 * @property {Record<string, string>} [inputs] what the route makes its key of
 * @property {Record<string, string>} [headers] request headers that the route lets callers choose
 * @property {number} [expiresIn] seconds; the route's default otherwise
 * @property {AbortSignal} [signal] an aborted call rejects with the signal's reason
 *
 * @typedef {object} Uploading What uploads take besides.
 * @property {string} [contentType] instead of the file's own type
 * @property {(told: {loaded: number, total: number}) => void} [onProgress] bytes of the file
 *
 * @typedef {{key: string, uploadId: string, size: number, partBytes: number, done: Record<string, string>}} UploadState
 *   A multipart upload as far as it has come, with ETags by part number: plain JSON, and no secret.
 *
 * @typedef {object} InParts What multipart uploads take besides.
 * @property {number} [multipartFrom] bytes from which a file goes up in parts if the route lets it; 16 MiB otherwise
 * @property {number} [parts] how many parts go up at once; 4 otherwise
 * @property {UploadState} [state] continues this upload; the file must be the same
 * @property {(state: UploadState) => void} [onState] told after every part, for pages that want to outlive themselves
 * @property {boolean} [keepOnAbort] whether an aborted upload keeps its parts, to be continued later
 *
 * @typedef {{method: string, url: string, headers: Record<string, string>, part_number?: number}} Signed
 * @typedef {(vend: string, ask: object, signal?: AbortSignal) => Promise<any>} Ask
 */

const MULTIPART_FROM = 16 * 2 ** 20;
const PARTS_AT_ONCE = 4;
const PARTS_ASKED = 16; // signed ahead: each is a unit of the route's rate, and lives no longer than it says
const TRIES = 4;
const SENT_BY_ITSELF = /^(content-length|host)$/i; // no script may set these
const OTHER_WAY = ['vend_not_allowed', 'method_not_allowed_by_policy'];

/** The broker said no, or (status 0) did not answer; COS was not asked. `state`: what to continue from. */
export class BrokerRefused extends Error {
  name = 'BrokerRefused';
  /** @type {UploadState | undefined} */ state;

  /** @param {Record<string, any>} problem @param {number} status @param {number} [retryAfter] */
  constructor({ code, detail = '', errors = [], request_id: requestId }, status, retryAfter) {
    super(detail || code);
    /** @type {string} the broker's; `unreachable` or `unreadable` if something else answered, or nothing */
    this.code = code;
    this.status = status;
    /** @type {string} */ this.detail = detail;
    /** @type {{field: string, message: string}[]} */ this.errors = errors;
    /** @type {string | undefined} */ this.requestId = requestId;
    this.retryAfter = retryAfter; // seconds, if the broker named some
  }
}

/** COS said no (`code` is its own), or (status 0, `unreachable`) did not answer, or not this page. */
export class StoreError extends Error {
  name = 'StoreError';
  /** @type {UploadState | undefined} */ state;

  /** @param {string} code @param {number} status @param {string} message @param {string} [requestId] */
  constructor(code, status, message, requestId) {
    super(message || code);
    this.code = code;
    this.status = status;
    this.requestId = requestId;
  }
}

/**
 * Uploads a file: in one request, or in parts if it is large or the route vends nothing else.
 *
 * Rejects with BrokerRefused, StoreError or the signal's reason. A multipart upload that fails keeps its parts, and the
 * error's `state` continues it; one that is aborted is removed from COS, unless `keepOnAbort`. `etag` is null if COS's
 * last answer was lost and the route does not vend `confirm`, which tells whether the object is there, and its ETag. An
 * empty file cannot go up in parts: it goes in one request or, where the route vends no `url` for PUT, by its `form`;
 * where it vends neither, the broker refuses, and COS is asked for nothing.
 *
 * @param {string} baseUrl where the broker's API lies, without `/v1`: `""`, `/storage` or `https://broker.example`
 * @param {string} route
 * @param {Blob} file a File, or any Blob
 * @param {Options & Uploading & InParts} [options]
 * @returns {Promise<{key: string, etag: string | null}>}
 */
export async function upload(baseUrl, route, file, options = {}) {
  const ask = asking(baseUrl, route, options);
  if (options.state) return inParts(ask, file, options);
  const large = file.size >= Math.max(1, options.multipartFrom ?? MULTIPART_FROM);
  const [way, other] = large ? [inParts, inOne] : [inOne, file.size ? inParts : emptyByForm];
  try {
    return await way(ask, file, options);
  } catch (error) {
    if (!asksForOtherWay(error)) throw error;
    return other(ask, file, options);
  }
}

/**
 * A link that downloads one object, as the broker answers it; `filename` is what the browser saves it as.
 *
 * @param {string} baseUrl
 * @param {string} route
 * @param {Options & {filename?: string, params?: Record<string, string>}} [options]
 * @returns {Promise<Signed & {key: string, expires_in: number, expires_at: string}>}
 */
export async function downloadLink(baseUrl, route, options = {}) {
  const { filename, params, headers } = options;
  const ask = { ...target(options), expires_in: options.expiresIn, filename, params, headers };
  return asking(baseUrl, route, options)('download-url', ask, options.signal);
}

/**
 * Uploads a file as a browser's form does, for routes that vend `form`. Rejects as `upload` does.
 *
 * @param {string} baseUrl
 * @param {string} route
 * @param {Blob} file
 * @param {Options & Uploading} [options]
 * @returns {Promise<{key: string, etag: string | null}>}
 */
export async function form(baseUrl, route, file, options = {}) {
  return byForm(asking(baseUrl, route, options), file, options);
}

/**
 * Asks the broker for anything that it vends: what `upload`, `form` and `downloadLink` have no name for. Rejects with
 * BrokerRefused or the signal's reason.
 *
 * @param {string} baseUrl
 * @param {string} route
 * @param {string} vend `url`, `download-url`, `signature`, `credentials`, `form`, `multipart`, `confirm`, `batch`
 * @param {object} told the ask, as the API takes it
 * @param {{token?: string, getHeaders?: Options['getHeaders'], signal?: AbortSignal}} [options]
 * @returns {Promise<any>} the broker's answer
 */
export async function ask(baseUrl, route, vend, told, options = {}) {
  return asking(baseUrl, route, options)(vend, told, options.signal);
}

/**
 * Sends a request to COS as the broker signed it. Rejects with StoreError or the signal's reason.
 *
 * @param {Signed} signed what `url` or `signature` answers, or one of `multipart`'s requests
 * @param {Blob | FormData | null} [body]
 * @param {{signal?: AbortSignal, onProgress?: (told: {loaded: number, total: number}) => void}} [options]
 * @returns {Promise<{status: number, etag: string | null, text: string}>}
 */
export async function sendSigned(signed, body = null, options = {}) {
  const progress = body instanceof Blob ? telling(body.size, options) : undefined;
  return send(signed, body, options.signal, progress);
}

/** @param {Ask} ask @param {Blob} file @param {Options & Uploading} options */
async function inOne(ask, file, options) {
  const own = { ...ofType(file), 'Content-Length': String(file.size) };
  const told = { ...target(options), method: 'PUT', expires_in: options.expiresIn };
  const granted = await declaring(ask, 'url', told, own, options);
  const { etag } = await send(granted, file, options.signal, telling(file.size, options));
  return { key: granted.key, etag };
}

/** @param {Ask} ask @param {Blob} file @param {Options & Uploading} options */
async function byForm(ask, file, options) {
  const told = { ...target(options), expires_in: options.expiresIn };
  const granted = await declaring(ask, 'form', told, ofType(file), options);
  const data = new FormData();
  for (const [name, value] of Object.entries(granted.fields)) data.append(name, /** @type {string} */ (value));
  data.append('file', file); // COS reads nothing that comes after it
  const post = { method: 'POST', url: granted.url, headers: {} };
  const { etag } = await send(post, data, options.signal, telling(file.size, options));
  return { key: granted.key, etag };
}

/** No part may be empty. @param {Ask} ask @param {Blob} file @param {Options & Uploading} options */
async function emptyByForm(ask, file, options) {
  try {
    return await byForm(ask, file, options);
  } catch (error) {
    if (!asksForOtherWay(error)) throw error;
    const detail = 'an empty file cannot go up in parts, and the route vends neither url (PUT) nor form';
    throw new BrokerRefused({ code: error.code, detail, request_id: error.requestId }, error.status);
  }
}

/** @param {unknown} error @returns {error is BrokerRefused} */
const asksForOtherWay = (error) => error instanceof BrokerRefused && OTHER_WAY.includes(error.code);

/** @param {Ask} ask @param {Blob} file @param {Options & Uploading & InParts} options */
async function inParts(ask, file, options) {
  const state = options.state ?? (await initiate(ask, file, options));
  if (state.size !== file.size) throw new TypeError(`the upload is of ${state.size} bytes, the file of ${file.size}`);
  const { key, uploadId } = state;
  try {
    options.onState?.(state);
    await sendParts(ask, file, state, options);
    return { key, etag: await complete(ask, state, options.signal) };
  } catch (error) {
    if (error instanceof Error) Object.assign(error, { state });
    if (options.signal?.aborted && !options.keepOnAbort) await abort(ask, key, uploadId);
    throw error;
  }
}

/** @param {Ask} ask @param {Blob} file @param {Options & Uploading} options @returns {Promise<UploadState>} */
async function initiate(ask, file, options) {
  const told = { step: 'initiate', ...target(options), size: file.size, expires_in: options.expiresIn };
  const begin = async () => {
    const granted = await declaring(ask, 'multipart', told, ofType(file), options);
    return { granted, text: (await send(granted.requests[0], null, options.signal)).text };
  };
  const { granted, text } = await persistently(begin, options.signal);
  const uploadId = element(text, 'UploadId');
  if (!uploadId) throw new StoreError('unreadable', 200, 'COS began an upload without naming it');
  return { key: granted.key, uploadId, size: file.size, partBytes: granted.part_bytes, done: {} };
}

/** Sends all parts that are not done, some at once; what ends one ends all.
 *  @param {Ask} ask @param {Blob} file @param {UploadState} state @param {Options & Uploading & InParts} options */
async function sendParts(ask, file, state, options) {
  const { size, partBytes, done } = state;
  const all = Array.from({ length: Math.ceil(size / partBytes) }, (_, index) => index + 1);
  const waiting = all.filter((number) => !done[number]);
  const partOf = (/** @type {number} */ number) => file.slice((number - 1) * partBytes, number * partBytes);
  const sent = new Map(all.filter((number) => done[number]).map((number) => [number, partOf(number).size]));
  const tell = telling(size, options);
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const signed = signing(ask, state, waiting, options.expiresIn, signal);
  const sendPart = async (/** @type {number} */ number) => {
    const part = partOf(number);
    const progress = (/** @type {number} */ bytes) => {
      sent.set(number, Math.min(bytes, part.size));
      tell?.([...sent.values()].reduce((sum, one) => sum + one, 0));
    };
    const { etag } = await send(await signed.next(number), part, signal, tell && progress).catch(signed.failed);
    if (!etag) throw new StoreError('unreadable', 200, "the bucket's CORS rule does not expose ETag");
    done[number] = etag;
    options.onState?.(state);
  };
  const work = async () => {
    for (let number; (number = waiting.shift()); ) {
      const mine = number;
      await persistently(() => sendPart(mine), signal);
    }
  };
  const workers = Array.from({ length: options.parts ?? PARTS_AT_ONCE }, () => work().catch((e) => stop.abort(e)));
  await Promise.all(workers);
  signal.throwIfAborted();
}

/** Signed requests for parts, asked for ahead; each serves once, so that a part that failed is signed anew.
 *  @param {Ask} ask @param {UploadState} state @param {number[]} waiting @param {number | undefined} expiresIn
 *  @param {AbortSignal} signal */
function signing(ask, { key, uploadId, size }, waiting, expiresIn, signal) {
  /** @type {Map<number, {request: Signed, until: number}>} */
  const ready = new Map();
  /** @type {Promise<void> | undefined} */
  let asked;
  const more = async (/** @type {number} */ from) => {
    let to = from;
    while (to - from + 1 < PARTS_ASKED && waiting.includes(to + 1) && !ready.has(to + 1)) to += 1;
    const told = { step: 'parts', key, upload_id: uploadId, size, expires_in: expiresIn, parts: { from, to } };
    const granted = await ask('multipart', told, signal);
    // The clock here may be wrong: a minute is always believed, and COS says the rest.
    const until = performance.now() + Math.max(60_000, Date.parse(granted.expires_at) - Date.now() - 30_000);
    for (const request of granted.requests) ready.set(request.part_number, { request, until });
  };
  return {
    /** @param {number} number @returns {Promise<Signed>} */
    async next(number) {
      for (;;) {
        const found = ready.get(number);
        ready.delete(number);
        if (found && performance.now() < found.until) return found.request;
        asked ??= more(number).finally(() => (asked = undefined));
        await asked;
      }
    },
    /** @param {any} error @returns {never} */
    failed(error) {
      if (error.status === 403) ready.clear(); // what was signed together runs out together
      throw error;
    },
  };
}

/** The ETag of the object that the parts become. A try whose answer was lost may have made it already: then the next one
 *  finds no upload any more. @param {Ask} ask @param {UploadState} state @param {AbortSignal} [signal]
 *  @returns {Promise<string | null>} */
async function complete(ask, state, signal) {
  const { key, uploadId } = state;
  const manifest = completion(state);
  let perhaps = false; // whether a try that failed may have been carried out all the same
  const attempt = async () => {
    const granted = await ask('multipart', { step: 'complete', key, upload_id: uploadId }, signal);
    try {
      const { text } = await send(granted.requests[0], manifest, signal);
      return element(text, 'ETag').replace(/&quot;/g, '"') || null;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (perhaps && error.code === 'NoSuchUpload') return confirmed(ask, state, error, signal);
      perhaps ||= error.status === 0 || error.status >= 500;
      throw error;
    }
  };
  return persistently(attempt, signal);
}

/** The ETag of the object of an upload that is gone, null where the route does not vend `confirm`; throws `gone` if there
 *  is no object of that size. @param {Ask} ask @param {UploadState} state @param {StoreError} gone
 *  @param {AbortSignal} [signal] @returns {Promise<string | null>} */
async function confirmed(ask, { key, size }, gone, signal) {
  try {
    const found = await ask('confirm', { key }, signal);
    if (found.content_length !== size) throw gone;
    return found.etag;
  } catch (error) {
    if (!(error instanceof BrokerRefused)) throw error;
    if (error.code === 'vend_not_allowed') return null;
    throw error.code === 'object_not_found' ? gone : error;
  }
}

/** The body that makes one object of the parts. @param {UploadState} state */
function completion({ done }) {
  const numbers = Object.keys(done).map(Number).sort((one, other) => one - other);
  const parts = numbers.map((number) => `<Part><PartNumber>${number}</PartNumber><ETag>${done[number]}</ETag></Part>`);
  const text = `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`;
  return new Blob([text], { type: 'application/xml' });
}

/** Removes an upload; that it could not be is no news to whoever gave it up. @param {Ask} ask @param {string} key
 *  @param {string} uploadId */
async function abort(ask, key, uploadId) {
  try {
    const granted = await ask('multipart', { step: 'abort', key, upload_id: uploadId });
    await send(granted.requests[0], null);
  } catch {
    // The bucket's lifecycle rule for unfinished uploads removes it.
  }
}

/** What an attempt brings that may fail in passing: it is made again after a pause.
 *  @template T @param {() => Promise<T>} attempt @param {AbortSignal} [signal] @returns {Promise<T>} */
async function persistently(attempt, signal) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      signal?.throwIfAborted();
      if (tries === TRIES || !mayPass(error, tries)) throw error;
      const told = error instanceof BrokerRefused ? error.retryAfter : undefined;
      await pause(told ? told * 1000 : 250 * 2 ** tries * (0.5 + Math.random()), signal);
    }
  }
}

/** @param {unknown} error @param {number} tries */
function mayPass(error, tries) {
  if (!(error instanceof BrokerRefused || error instanceof StoreError)) return false;
  // A 403 of COS may be a signature that ran out; a second one is no accident.
  if (error instanceof StoreError && error.status === 403) return tries === 1;
  return error.status === 0 || error.status === 429 || error.status >= 500;
}

/** @param {number} milliseconds @param {AbortSignal} [signal] @returns {Promise<void>} */
function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => (signal?.removeEventListener('abort', stop), resolve()), milliseconds);
    const stop = () => (clearTimeout(timer), reject(signal?.reason));
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** @param {string} baseUrl @param {string} route @param {Options} options @returns {Ask} */
function asking(baseUrl, route, { token, getHeaders }) {
  const at = `${baseUrl.replace(/\/+$/, '')}/v1/${encodeURIComponent(route)}`;
  return async (vend, ask, signal) => {
    const known = { ...(token ? { Authorization: `Bearer ${token}` } : {}), ...(await getHeaders?.()) };
    const headers = { ...known, 'Content-Type': 'application/json' };
    const told = { method: 'POST', headers, body: JSON.stringify(ask), signal };
    const response = await fetch(`${at}/${vend}`, told).catch(() => {
      signal?.throwIfAborted();
      throw new BrokerRefused({ code: 'unreachable', detail: 'the broker does not answer, or not this page' }, 0);
    });
    const answer = await response.json().catch(() => null);
    if (response.ok && answer) return answer;
    const problem = answer?.code ? answer : { code: 'unreadable', detail: 'the answer is not one of a broker' };
    throw new BrokerRefused(problem, response.status, Number(response.headers.get('Retry-After')) || undefined);
  };
}

/** The answer to an ask that declares what is known of the file; without what the route does not take.
 *  @param {Ask} ask @param {string} vend @param {object} told @param {Record<string, string>} own
 *  @param {Options & Uploading} options @returns {Promise<any>} */
async function declaring(ask, vend, told, own, { headers, contentType, signal }) {
  const chosen = { ...headers, ...(contentType ? { 'Content-Type': contentType } : {}) };
  for (let declared = own; ; ) {
    try {
      return await ask(vend, { ...told, headers: { ...declared, ...chosen } }, signal);
    } catch (error) {
      if (!(error instanceof BrokerRefused) || error.code !== 'header_not_allowed') throw error;
      const odd = error.errors.map(({ field }) => field.replace('headers.', ''));
      const kept = Object.entries(declared).filter(([name]) => !odd.includes(name));
      if (kept.length === Object.keys(declared).length) throw error;
      declared = Object.fromEntries(kept);
    }
  }
}

/** Sends one signed request to COS. @param {Signed} signed @param {Blob | FormData | null} body
 *  @param {AbortSignal} [signal] @param {(bytes: number) => void} [progress] */
async function send(signed, body, signal, progress) {
  const headers = Object.entries(signed.headers).filter(([name]) => !SENT_BY_ITSELF.test(name));
  const way = typeof XMLHttpRequest === 'undefined' ? byFetch : byXhr;
  const answer = await way({ ...signed, headers: Object.fromEntries(headers) }, body, signal, progress);
  // A completion that fails late is 200 all the same.
  if (answer.status >= 200 && answer.status < 300 && !answer.text.includes('<Error>')) return answer;
  const code = element(answer.text, 'Code') || `http_${answer.status}`;
  throw new StoreError(code, answer.status, element(answer.text, 'Message'), element(answer.text, 'RequestId'));
}

const unreachable = () => new StoreError('unreachable', 0, 'COS does not answer, or its CORS rule excludes this page');

/** @param {Signed} signed @param {Blob | FormData | null} body @param {AbortSignal} [signal]
 *  @param {(bytes: number) => void} [progress]
 *  @returns {Promise<{status: number, etag: string | null, text: string}>} */
function byXhr({ method, url, headers }, body, signal, progress) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const xhr = new XMLHttpRequest();
    const stop = () => xhr.abort();
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    if (progress) xhr.upload.onprogress = ({ loaded }) => progress(loaded);
    xhr.onload = () => resolve({ status: xhr.status, etag: xhr.getResponseHeader('ETag'), text: xhr.responseText });
    xhr.onerror = () => reject(unreachable());
    xhr.onabort = () => reject(signal?.reason);
    xhr.onloadend = () => signal?.removeEventListener('abort', stop);
    signal?.addEventListener('abort', stop);
    xhr.send(body);
  });
}

/** @type {typeof byXhr} */
async function byFetch({ method, url, headers }, body, signal, progress) {
  try {
    const response = await fetch(url, { method, headers, body, signal });
    const text = await response.text();
    if (body instanceof Blob) progress?.(body.size);
    return { status: response.status, etag: response.headers.get('ETag'), text };
  } catch {
    signal?.throwIfAborted();
    throw unreachable();
  }
}

/** @param {Options} options */
const target = ({ key, inputs }) => ({ key, inputs });

/** @param {Blob} file @returns {Record<string, string>} */
const ofType = (file) => (file.type ? { 'Content-Type': file.type } : {});

/** @param {number} total @param {Uploading} options @returns {((bytes: number) => void) | undefined} */
const telling = (total, { onProgress }) =>
  onProgress && ((bytes) => onProgress({ loaded: Math.min(bytes, total), total }));

/** The text of an element in an answer of COS. @param {string} text @param {string} name */
const element = (text, name) => text.match(new RegExp(`<${name}>([^<]*)</${name}>`))?.[1] ?? '';
