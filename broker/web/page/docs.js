// Fetches this page with a token, as a browser does not by itself. The token stays in the field it was typed into.
const form = document.querySelector("form");
if (form !== null) {
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const told = form.querySelector("output");
    try {
      const answer = await fetch(location.pathname, {
        headers: { Authorization: `Bearer ${form.elements.token.value.trim()}` },
        cache: "no-store",
        credentials: "omit",
      });
      if (!answer.ok) {
        told.textContent = (await answer.json()).detail;
        return;
      }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.querySelector("main").replaceWith(page.querySelector("main"));
      told.textContent = "Below is what this token may ask for.";
    } catch {
      told.textContent = "The broker could not be asked with this token.";
    }
  });
}
