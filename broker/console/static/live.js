/** Section Credentials: what it shows is fetched again while somebody looks, and changed where it differs. */

import { find } from './dom.js';
import { fetched } from './session.js';

const EVERY_MS = 2000;

export function start() {
  const [told, pause] = [find('#live-told'), find('#live-pause')];
  const say = (text) => told.textContent !== text && (told.textContent = text);
  let at = new Date();
  let waiting;

  const look = async () => {
    clearTimeout(waiting);
    const wanted = () => !document.hidden && pause.ariaPressed !== 'true' && find('#live');
    if (!wanted()) return;
    try {
      const fresh = (await fetched(`${location.pathname}?part=live`)).querySelector('#live');
      if (fresh === null) say('The broker lets you in no more: reload the page and sign in again.');
      else if (wanted()) {
        morph(find('#live'), fresh);
        at = new Date();
        say('Live, every 2 s');
      }
    } catch {
      say(
        `The broker does not answer: this is how it stood at ${at.toLocaleTimeString()}. It is asked again by itself.`,
      );
    }
    clearTimeout(waiting);
    if (find('#live')) waiting = setTimeout(look, EVERY_MS);
  };

  pause.hidden = false;
  pause.addEventListener('click', () => {
    const paused = pause.ariaPressed !== 'true';
    pause.ariaPressed = String(paused);
    pause.textContent = paused ? 'Go on' : 'Pause';
    say(paused ? 'Paused' : 'Live, every 2 s');
    look();
  });
  document.addEventListener('visibilitychange', look);
  say('Live, every 2 s');
  waiting = setTimeout(look, EVERY_MS);
}

/** Makes one tree like another, touching only what differs. Elements with `data-key` stay themselves when they move. */
export function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(document.adoptNode(fresh));
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) return;
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const keyed = new Map([...old.children].filter((one) => one.dataset.key).map((one) => [one.dataset.key, one]));
  const wanted = [...fresh.childNodes];
  wanted.forEach((child, index) => {
    const key = child.dataset?.key;
    const there = old.childNodes[index];
    const same = key ? keyed.get(key) : there?.dataset?.key ? undefined : there;
    if (!same) {
      old.insertBefore(document.adoptNode(child), there ?? null);
      return;
    }
    if (same !== there) old.insertBefore(same, there ?? null);
    morph(same, child);
  });
  while (old.childNodes.length > wanted.length) old.lastChild.remove();
}
