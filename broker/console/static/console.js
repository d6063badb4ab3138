/** What every page does: theme, signing in, forms that stay where they are; and the module of its section. */

import { fetched, forget, isKey, remember, session } from './session.js';

const sections = {
  'sign-in': () => ({ start: signIn }),
  try: () => import('./try.js'),
  permissions: () => ({ start: permissions }),
  credentials: () => import('./live.js'),
};

const find = (selector) => document.querySelector(selector);

/** Puts the main part of a fetched page in the place of this one's, and starts it. */
async function show(page) {
  const main = page.querySelector('main');
  if (main === null) throw new TypeError('the answer is no page of the console');
  find('main').replaceWith(document.adoptNode(main));
  document.title = page.title;
  who();
  await start();
}

async function start() {
  const section = find('main').dataset.section;
  await (await sections[section]?.())?.start();
}

async function signIn() {
  const form = find('#sign-in form');
  if (session().token && !find('#sign-in .refused')) {
    await attempt();
    return;
  }
  find('#wait').hidden = true;
  find('#sign-in').hidden = false;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const { token, principal, claims } = Object.fromEntries(new FormData(form));
    try {
      remember({
        token: token.trim(),
        ...(principal.trim() ? { principal: principal.trim() } : {}),
        ...(claims.trim() ? { claims: JSON.parse(claims) } : {}),
      });
    } catch {
      find('#sign-in-told').textContent = 'The further claims must be a JSON object, such as {"tenant": "acme"}.';
      return;
    }
    await attempt();
  });
}

async function attempt() {
  try {
    await show(await fetched(location.href));
  } catch {
    find('#wait').hidden = true;
    find('#sign-in').hidden = false;
    find('#sign-in-told').textContent = 'The broker does not answer. Try again when it runs.';
  }
}

function permissions() {
  const form = find('#ask');
  form?.addEventListener('submit', async (event) => {
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form));
    const button = form.querySelector('button');
    button.disabled = true;
    try {
      await show(await fetched(form.action, { method: 'POST', body }));
      find('#answer')?.scrollIntoView({ block: 'nearest' });
      (find('[aria-invalid]') ?? find('#ask button'))?.focus();
    } catch {
      button.disabled = false;
      find('#answer').textContent = 'The broker does not answer: nothing was explained. Try again when it runs.';
    }
  });
}

function who() {
  const { token, principal } = session();
  find('.who').hidden = !token;
  if (!token) return;
  const name = isKey(token) ? `API key ${token.split('.')[0]}` : 'JWT';
  find('#who').textContent = principal ? `${name} for ${principal}` : name;
}

function theme() {
  const button = find('#theme');
  const dark = () => matchMedia('(prefers-color-scheme: dark)').matches;
  const now = () => document.documentElement.dataset.theme ?? (dark() ? 'dark' : 'light');
  const tell = () => {
    button.textContent = now() === 'dark' ? 'Light' : 'Dark';
    button.ariaLabel = `Use the ${now() === 'dark' ? 'light' : 'dark'} theme`;
  };
  button.hidden = false;
  tell();
  button.addEventListener('click', () => {
    const other = now() === 'dark' ? 'light' : 'dark';
    document.documentElement.dataset.theme = other;
    localStorage.setItem('broker-console-theme', other);
    tell();
  });
}

find('#sign-out').addEventListener('click', () => {
  forget();
  location.reload();
});
theme();
who();
await start();
