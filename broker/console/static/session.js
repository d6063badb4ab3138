/** Who looks: what was typed in to sign in, kept in this tab alone: never in an address, a cookie or a log. */

const PLACE = 'broker-console';

/** @returns {{token?: string, principal?: string, claims?: object}} */
export function session() {
  try {
    return JSON.parse(sessionStorage.getItem(PLACE) ?? '{}');
  } catch {
    return {};
  }
}

export const remember = (told) => sessionStorage.setItem(PLACE, JSON.stringify(told));
export const forget = () => sessionStorage.removeItem(PLACE);

/** Whether it is an API key, which may act for others; JWTs have two dots. */
export const isKey = (token = '') => token.split('.').length === 2;

/** The headers that say so to the broker; none if nobody signed in. */
export function headers({ token, principal, claims } = session()) {
  return {
    ...(token ? { Authorization: `Bearer ${token}` } : {}),
    ...(token && principal ? { 'X-Principal': principal } : {}),
    ...(token && principal && claims && Object.keys(claims).length ? { 'X-Principal-Claims': encoded(claims) } : {}),
  };
}

/** A page of ours, as whoever signed in gets it. */
export async function fetched(address, options = {}) {
  const answer = await fetch(address, {
    ...options,
    headers: headers(),
    cache: 'no-store',
    credentials: 'same-origin',
  });
  return new DOMParser().parseFromString(await answer.text(), 'text/html');
}

/** JSON in base64url. */
export function encoded(claims) {
  const bytes = new TextEncoder().encode(JSON.stringify(claims));
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');
}
