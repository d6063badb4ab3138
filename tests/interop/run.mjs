// Runs the body of an async function, in Node or in a page of a real Chromium. One JSON object on stdin, one printed.
//
// In:  {"where": "node" | "chromium", "page": "http://…" (Chromium alone), "code", "drive", "given": {"api", …}}
//      `code` knows `client` (the module that the broker serves at /client.js), `given`, and what PRELUDE holds.
//      `drive` runs here instead, and knows `page`, `given` and `file(name, bytes)`, the path of a file.
// Out: {"result": what it returned} | {"error": "…"}, and "logged": [what the page wrote to its console]
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const PRELUDE = `
  // A file of whole MiB, each of another byte, and a few more.
  const bytes = (mebibytes, more = 7) => {
    const all = new Uint8Array(mebibytes * 2 ** 20 + more);
    for (let index = 0; index <= mebibytes; index += 1) all.fill(index, index * 2 ** 20, (index + 1) * 2 ** 20);
    return all;
  };
  const told = ({ name, code, status, detail, errors, message }) => ({ name, code, status, detail, errors, message });
`;
const AsyncFunction = (async () => {}).constructor;
const { where, page: at, code, drive, given } = JSON.parse(fs.readFileSync(0, 'utf-8'));
const logged = [];

async function inNode() {
  for (const level of ['log', 'info', 'warn', 'error', 'debug'])
    console[level] = (...words) => logged.push(words.join(' '));
  const script = await (await fetch(`${given.api}/client.js`)).text();
  const client = await import(`data:text/javascript;base64,${Buffer.from(script).toString('base64')}`);
  return new AsyncFunction('client', 'given', `${PRELUDE} {${code}}`)(client, given);
}

async function inChromium() {
  const { args, launched } = await import('./chromium.mjs');
  const { default: puppeteer } = await import('puppeteer-core');
  const browser = await launched((executablePath) => puppeteer.launch({ executablePath, args, headless: 'shell' }));
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'files-'));
  try {
    const page = await browser.newPage();
    page.on('console', (message) => logged.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => logged.push(`uncaught: ${error}`));
    await page.goto(at);
    if (drive) {
      const file = (name, content) => {
        fs.writeFileSync(path.join(folder, name), content);
        return path.join(folder, name);
      };
      return await new AsyncFunction('page', 'given', 'file', `${PRELUDE} {${drive}}`)(page, given, file);
    }
    const body = `const run = async (client, given) => {${PRELUDE} {${code}} }; `;
    const imported = `await import(${JSON.stringify(`${given.api}/client.js`)})`;
    return await page.evaluate(`(async () => {${body} return run(${imported}, ${JSON.stringify(given)}); })()`);
  } finally {
    await browser.close();
    fs.rmSync(folder, { recursive: true });
  }
}

const print = console.log;
let outcome;
try {
  outcome = { result: await (where === 'chromium' ? inChromium() : inNode()) };
} catch (error) {
  outcome = { error: String(error?.stack ?? error) };
}
print(JSON.stringify({ ...outcome, logged }));
