/** Elements made of text, never of markup. */

export const find = (selector) => document.querySelector(selector);

/** An element; attributes and children that are false, null or undefined are left out. */
export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  const there = (one) => one !== false && one !== null && one !== undefined && one !== '';
  for (const [name, value] of Object.entries(attributes))
    if (there(value)) made.setAttribute(name, value === true ? '' : value);
  made.append(...children.flat().filter(there));
  return made;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** Bytes as people read them. */
export function size(bytes) {
  let [value, unit] = [bytes, 0];
  for (; value >= 1024 && unit < UNITS.length - 1; unit += 1) value /= 1024;
  return `${unit && value < 100 ? value.toFixed(1).replace(/\.0$/, '') : Math.round(value)} ${UNITS[unit]}`;
}

/** Seconds as people read them. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  if (minutes < 60) return `${minutes} min ${String(rest).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}
