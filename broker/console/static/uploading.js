/** How an upload goes: a bar, how fast, how long still, and its parts. */

import { duration, find, h, size } from './dom.js';
import { tell } from './outcome.js';

const WINDOW_MS = 3000; // speed is that of the last seconds

/** @param {File} file */
export function uploading({ name, size: total }) {
  const block = find('#progress');
  const bar = block.querySelector('progress');
  const began = performance.now();
  let seen = [[began, 0]];
  block.hidden = false;
  find('#progress-title').textContent = `Uploading ${name}`;
  find('#parts').hidden = true;
  bar.max = Math.max(total, 1);

  const show = (loaded) => {
    const now = performance.now();
    seen.push([now, loaded]);
    const since = seen.findLast(([at]) => now - at > WINDOW_MS) ?? seen[0];
    seen = seen.filter((one) => one[0] >= since[0]);
    const speed = ((loaded - since[1]) / Math.max(now - since[0], 1)) * 1000;
    bar.value = loaded;
    const left = speed > 0 && loaded < total ? `, ${duration((total - loaded) / speed)} left` : '';
    find('#numbers').textContent = `${size(loaded)} of ${size(total)}${speed > 0 ? `, ${size(speed)}/s` : ''}${left}`;
  };
  show(0);
  return {
    progress: ({ loaded }) => show(loaded),
    parts({ size: bytes, partBytes, done }) {
      const count = Math.ceil(bytes / partBytes);
      const sent = Object.keys(done).length;
      const line = find('#parts');
      line.hidden = false;
      line.ariaLabel = `${sent} of ${count} parts are sent`;
      // So many boxes tell nobody more than their number.
      const boxes = Array.from({ length: Math.min(count, 400) }, (_, index) =>
        h('span', { class: done[index + 1] ? 'sent' : '' }),
      );
      line.replaceChildren(...boxes, h('span', { class: 'count' }, `${sent} of ${count} parts of ${size(partBytes)}`));
    },
    done() {
      show(total);
      const seconds = Math.max((performance.now() - began) / 1000, 0.1);
      const took = `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
      find('#numbers').textContent = `${size(total)} in ${took}, ${size(total / seconds)}/s`;
      find('#progress-title').textContent = `Uploaded ${name}`;
      tell(`Uploaded ${name}.`);
    },
  };
}
