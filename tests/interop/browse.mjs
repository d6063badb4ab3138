// Drives a real Chromium by Playwright: one JSON object on stdin, one printed.
//
// In:  {"page": "http://…", "code", "width", "height", "theme": "light" | "dark", "script": true, "shots": FOLDER, "given"}
//      `code` is the body of an async function that knows `page`, `given`, `shot(name)`, `axe()`, `file(name, bytes)`,
//      `large(name, size)` (a file that takes no room), and `network`, what was asked for: [{url, status, bytes}].
// Out: {"result": what it returned} | {"error": "…"}, and "logged": [what the page wrote to its console]
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';
import { args, launched } from './chromium.mjs';

const AsyncFunction = (async () => {}).constructor;
const told = JSON.parse(fs.readFileSync(0, 'utf-8'));
const logged = [];
const network = [];

async function drive() {
  const browser = await launched((executablePath) => chromium.launch({ executablePath, args, headless: true }));
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'files-'));
  try {
    const context = await browser.newContext({
      viewport: { width: told.width, height: told.height },
      colorScheme: told.theme,
      javaScriptEnabled: told.script,
      reducedMotion: 'reduce',
      permissions: told.script ? ['clipboard-read', 'clipboard-write'] : [],
    });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    page.on('console', (message) => logged.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => logged.push(`uncaught: ${error}`));
    page.on('requestfinished', async (request) => {
      const [{ responseBodySize, responseHeadersSize }, answer] = await Promise.all([
        request.sizes(),
        request.response(),
      ]);
      network.push({ url: request.url(), status: answer?.status(), bytes: responseBodySize + responseHeadersSize });
    });
    await page.goto(told.page);
    const shot = async (name, fullPage = true) => {
      fs.mkdirSync(told.shots, { recursive: true });
      await page.screenshot({ path: path.join(told.shots, `${name}.png`), fullPage });
    };
    const axe = async () => {
      // Not as an element of the page: its policy lets no stranger's script in.
      await page.evaluate(fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf-8'));
      const { violations } = await page.evaluate(() => window.axe.run());
      return violations
        .filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(' | ')}`);
    };
    const file = (name, content) => {
      fs.writeFileSync(path.join(folder, name), typeof content === 'string' ? content : Buffer.from(content));
      return path.join(folder, name);
    };
    const large = (name, size) => {
      fs.closeSync(fs.openSync(path.join(folder, name), 'w'));
      fs.truncateSync(path.join(folder, name), size);
      return path.join(folder, name);
    };
    const known = { page, given: told.given, shot, axe, file, large, network };
    return await new AsyncFunction(...Object.keys(known), told.code)(...Object.values(known));
  } finally {
    await browser.close();
    fs.rmSync(folder, { recursive: true });
  }
}

let outcome;
try {
  outcome = { result: await drive() };
} catch (error) {
  outcome = { error: String(error?.stack ?? error) };
}
process.stdout.write(JSON.stringify({ ...outcome, logged }));
