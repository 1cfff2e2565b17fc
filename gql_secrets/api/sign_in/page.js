const button = document.querySelector("button");
const status = document.querySelector("[role=status]");
const command = document.querySelector(".command");
const incomplete = `The sign-in link is incomplete. Open the whole link, or create another one: ${command.textContent}`;
let token = "";
const show = (text, isOffered) => {
  // A command at the end of a sentence gets a line of its own.
  const [sentence, ...rest] = text.split(command.textContent);
  status.textContent = sentence;
  command.hidden = rest.length === 0;
  for (const each of document.querySelectorAll(".offer")) each.hidden = !isOffered;
  button.disabled = false;
};
const read = () => {
  token = location.hash.slice(1);
  // With an identity provider, people come here without a link.
  show(token || document.querySelector(".provider") ? "" : incomplete, Boolean(token));
};
read();
// A fresh link in the same tab changes nothing but the fragment: the page is not loaded again.
addEventListener("hashchange", read);
button.addEventListener("click", async () => {
  button.disabled = true;
  status.textContent = "";
  try {
    const answer = await fetch("/sign-in", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
      credentials: "same-origin",
      redirect: "error",
    });
    if (answer.ok) return location.replace("/");
    const message = (await answer.json()).message;
    if (answer.status === 401 || answer.status === 403) {
      history.replaceState(null, "", location.pathname);
      return show(message, false);
    }
    status.textContent = message;
  } catch {
    status.textContent = "The server is not reachable. Try again.";
  }
  button.disabled = false;
});
