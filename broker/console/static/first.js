// Before anything is drawn: the theme that was chosen, and a key that came in the fragment, out of the address at once.
(() => {
  const theme = localStorage.getItem('broker-console-theme');
  if (theme) document.documentElement.dataset.theme = theme;
  const token = new URLSearchParams(location.hash.slice(1)).get('key');
  if (token === null) return;
  history.replaceState(null, '', location.pathname + location.search);
  sessionStorage.setItem('broker-console', JSON.stringify({ token }));
})();
