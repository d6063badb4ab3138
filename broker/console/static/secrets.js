/** What is secret, shown so that nobody who looks over a shoulder can use it. */

const NAMES = new Set(
  'authorization x-cos-security-token tmpsecretkey tmpsecretid sessiontoken q-signature q-ak policy'.split(' '),
);

const ends = (value) => (value.length > 16 ? `${value.slice(0, 6)}…${value.slice(-4)}` : value);

/** A value, or its two ends if its name is that of a secret. @param {string} name @param {string} value */
export const shortened = (name, value) => (NAMES.has(name.toLowerCase()) ? ends(value) : value);

/** A text without a token: `Bearer …` says which. @param {string} text @param {string} [authorization] */
export function without(text, authorization = '') {
  const token = /^Bearer (.+)$/.exec(authorization)?.[1];
  return token ? text.replaceAll(token, `${token.split('.')[0].slice(0, 12)}.••••`) : text;
}

/** JSON to look at: no secret and no signed URL is whole. */
export function readable(answer) {
  const shown = (name, value) => {
    if (typeof value !== 'string') return value;
    return name === 'url' && value.length > 90 ? `${value.slice(0, 80)}…` : shortened(name, value);
  };
  return JSON.stringify(answer, shown, 2);
}
