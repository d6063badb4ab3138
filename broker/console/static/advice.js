/** What to do about a failure, where there is something to be done. */

import { duration } from './dom.js';

/** @param {any} error @param {{client: any, route: string, resumes: boolean}} at */
export function advice(error, { client, route, resumes }) {
  const then = resumes ? 'Then press Resume: what was sent is kept.' : 'Then try again.';
  if (error instanceof client.BrokerRefused) return ofBroker(error, then);
  return error instanceof client.StoreError ? ofCos(error, then, route, resumes) : '';
}

function ofBroker({ code, status, retryAfter }, then) {
  if (code === 'unreachable') return `The broker may be starting again, or not run at all; /readyz says which. ${then}`;
  if (status === 401) return 'Sign out and in again: what you signed in with is not, or no longer, accepted.';
  if (retryAfter) return `Wait ${duration(retryAfter)}. ${then}`;
  return code === 'content_too_large' ? 'Choose a smaller file. Nothing was sent.' : '';
}

function ofCos({ code, status }, then, route, resumes) {
  if (status === 0) {
    const command = `python -m broker cors ${route} --origin ${location.origin}`;
    const rule = "If COS can be reached, the bucket's CORS rule does not let this page in:";
    return `${rule} ${command} prints one that does. ${then}`;
  }
  if (status === 403) {
    const why = 'A signature that has run out is refused so, like a request that differs from what was signed.';
    return `${why} Ask again for a new one.${resumes ? ` ${then}` : ''}`;
  }
  if (code === 'FileAlreadyExists')
    return 'There is an object of that name, and the policy forbids to overwrite it. Choose another key.';
  return '';
}
