/** Section Try it: asks the public API as the chosen caller, and sends what it signs, like any page would. */

import { advice } from './advice.js';
import { askOf, caller, noFile, showCaller, tooLarge } from './asking.js';
import { find, h, size } from './dom.js';
import { actions, facts, granted, stored } from './granted.js';
import { add, apart, asCode, clear, countdown, raw, refusal, tell } from './outcome.js';
import { uploading } from './uploading.js';

const base = new URL('../../../', import.meta.url).href.replace(/\/$/, '');
const client = await import(`${base}/client.js`);

export function start() {
  const form = find('#ask');
  if (form) new Trial(form).listen();
}

class Trial {
  #paused; // the state of an upload in parts that can go on
  #running; // AbortController of what is under way

  constructor(form) {
    this.form = form;
    this.told = form.dataset;
    this.most = Number(form.dataset.most);
  }

  listen() {
    const { form } = this;
    showCaller();
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#go();
    });
    find('#abort').addEventListener('click', () => (this.#running ? this.#running.abort('abort') : this.#discard()));
    find('#pause').addEventListener('click', () => (this.#running ? this.#running.abort('pause') : this.#go()));
    if (find('#drop')) this.#listenForFiles(find('#drop'), form.elements.file);
    this.#buttons(); // nothing can be asked before: a browser on its own would put the fields into an address
  }

  #listenForFiles(drop, input) {
    find('#most').textContent = size(this.most);
    input.addEventListener('change', () => this.#chose());
    for (const name of ['dragenter', 'dragover', 'dragleave', 'drop'])
      drop.addEventListener(name, (event) => {
        event.preventDefault();
        drop.classList.toggle('over', name === 'dragenter' || name === 'dragover');
      });
    drop.addEventListener('drop', ({ dataTransfer }) => {
      if (!dataTransfer.files.length) return;
      input.files = dataTransfer.files;
      this.#chose();
    });
    this.#chose(); // somebody may have been faster
  }

  get #file() {
    return this.form.elements.file?.files[0];
  }

  #chose() {
    const file = this.#file;
    this.#paused = undefined;
    this.#buttons();
    this.form.elements.file.removeAttribute('aria-invalid');
    find('#go').textContent = file || this.told.vend === 'multipart' ? 'Upload' : 'Ask';
    const about = file
      ? [h('bdi', {}, file.name), `, ${size(file.size)}${file.type ? `, ${file.type}` : ''}`]
      : ['or drop it here'];
    const larger = ` It is larger than what goes up here: ${size(this.most)}. Choose a smaller one.`;
    if (file?.size > this.most) about.push(h('span', { class: 'bad' }, larger));
    find('#chosen').replaceChildren(...about);
  }

  #buttons() {
    const [running, paused] = [Boolean(this.#running), Boolean(this.#paused)];
    find('#go').disabled = running;
    find('#go').hidden = paused;
    find('#abort').hidden = !running && !paused;
    find('#abort').textContent = running ? 'Abort' : 'Discard';
    find('#pause').hidden = this.told.vend !== 'multipart' || !(running || paused);
    find('#pause').textContent = running ? 'Pause' : 'Resume';
  }

  #ask(ask, who, signal, vend = this.told.vend) {
    return client.ask(base, this.told.route, vend, ask, { getHeaders: () => who.headers, signal });
  }

  #refused(error) {
    const at = { client, route: this.told.route, resumes: Boolean(this.#paused) };
    return refusal(error, advice(error, at));
  }

  async #go() {
    const file = this.#file;
    clear();
    find('#progress').hidden = !this.#paused;
    this.#running = new AbortController();
    this.#buttons();
    if (matchMedia('(max-width: 52rem)').matches) find('.answer').scrollIntoView(); // it is below the form there
    try {
      const tried = this.told.vend === 'multipart' ? this.#inParts : this.#inOne;
      await tried.call(this, askOf(this.form, file), file, caller(), this.#running.signal);
      this.#paused = undefined;
    } catch (error) {
      const reason = this.#running.signal.aborted ? this.#running.signal.reason : undefined;
      this.#running = undefined;
      this.#ended(error, reason);
    }
    this.#running = undefined;
    this.#buttons();
  }

  async #inOne(ask, file, who, signal) {
    const { vend } = this.told;
    // A form does not declare how large its file is: COS would hear of it only once it is on its way.
    if (vend === 'form' && file?.size > this.most) throw tooLarge(file, this.most);
    const grant = await this.#ask(ask, who, signal);
    tell('Granted.');
    if (file?.size > this.most) throw tooLarge(file, this.most);
    if (file) await this.#send(grant, file, signal);
    const ends = grant.expires_at ?? grant.expiration;
    const seconds = grant.expires_in ?? (Date.parse(ends) - Date.now()) / 1000;
    if (ends) add(countdown(seconds, () => find('#open')?.removeAttribute('href')));
    add(granted(vend, grant));
    if (file) await this.#stored(grant.key, file, who);
    else if (grant.method) add(actions(client, grant, (error) => this.#refused(error)));
    if (grant.method) add(apart('The URL, taken apart', grant.url, grant.method));
    this.#code(ask, grant, who, file);
    add(raw(grant));
  }

  async #send(grant, file, signal) {
    const shown = uploading(file);
    const options = { signal, onProgress: shown.progress };
    if (this.told.vend === 'form') {
      const data = new FormData();
      for (const [name, value] of Object.entries(grant.fields)) data.append(name, value);
      data.append('file', file); // COS reads nothing that comes after it
      await client.sendSigned({ method: 'POST', url: grant.url, headers: {} }, data, options);
    } else await client.sendSigned(grant, file, options);
    shown.done();
  }

  async #inParts(ask, file, who, signal) {
    if (!file) throw noFile();
    if (file.size > this.most) throw tooLarge(file, this.most);
    const { inputs, key, headers = {}, expires_in: expiresIn } = ask;
    const { 'Content-Type': contentType, ...others } = headers;
    const shown = uploading(file);
    let state = this.#paused;
    const { key: at, etag } = await client.upload(base, this.told.route, file, {
      ...(state ? {} : { inputs, key }),
      headers: others,
      contentType,
      expiresIn,
      getHeaders: () => who.headers,
      multipartFrom: 0,
      state,
      keepOnAbort: true,
      signal,
      onProgress: shown.progress,
      onState: (told) => {
        state = this.#paused = told;
        shown.parts(told);
      },
    });
    shown.done();
    add(
      facts([
        ['Key', at],
        ['ETag', etag ?? ''],
      ]),
    );
    await this.#stored(at, file, who);
    const told = { step: 'parts', key: at, upload_id: state.uploadId, size: file.size, parts: { from: 1, to: 1 } };
    const part = await this.#ask(told, who, signal).catch(() => null);
    if (part) add(apart('One of its requests, taken apart', part.requests[0].url, 'PUT'));
    this.#code({ inputs, key, headers }, part?.requests[0], who, file);
  }

  /** What was stored, to look at; a link to it, where a route vends one; and the broker's word that it is there. */
  async #stored(key, file, who) {
    const { reader } = this.told;
    const getHeaders = () => who.headers;
    add(
      await stored(file, (error) => this.#refused(error), {
        reader,
        link: reader && (() => client.downloadLink(base, reader, { key, getHeaders })),
        confirm: 'confirms' in this.told && (() => this.#ask({ key }, who, undefined, 'confirm')),
      }),
    );
  }

  #code(ask, grant, who, file) {
    const { route, vend } = this.told;
    add(asCode({ base, route, vend, ask, grant, identity: who.headers, claims: who.claims, file: file?.name }));
  }

  #ended(error, reason) {
    const title = find('#progress-title');
    if (reason === 'pause' && this.#paused) {
      title.textContent = 'Paused. What was sent is kept: resume with the same file, or discard it.';
      tell('Paused.');
    } else if (reason !== undefined) {
      find('#progress').hidden = true;
      if (this.#paused) this.#discard();
      else add(h('p', { class: 'notice' }, 'Aborted: nothing is stored.'));
      tell('Aborted.');
    } else {
      this.#paused = error.state ?? this.#paused;
      find('#progress').hidden = !this.#paused;
      if (this.#paused)
        title.textContent = 'Stopped. What was sent is kept: resume when the reason is gone, or discard it.';
      add(this.#refused(error));
    }
  }

  /** Gives an upload in parts up. */
  async #discard() {
    const state = this.#paused;
    this.#paused = undefined;
    this.#buttons();
    clear();
    try {
      const step = await this.#ask({ step: 'abort', key: state.key, upload_id: state.uploadId }, caller());
      await client.sendSigned(step.requests[0]);
      find('#progress').hidden = true;
      add(h('p', { class: 'notice' }, 'Discarded: COS keeps nothing of the upload.'));
      tell('Discarded.');
    } catch (error) {
      add(
        refusal(
          error,
          "The parts may still lie in COS; the bucket's lifecycle rule for unfinished uploads removes them.",
        ),
      );
    }
  }
}
