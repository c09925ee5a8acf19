// Behaviour of every page, by data attributes: nothing inline, nothing fetched from elsewhere.
const $ = (selector, root = document) => root.querySelector(selector);
const page = document.documentElement;

function toast(text) {
  const box = $(".toasts");
  if (!box || !text) return;
  const note = document.createElement("div");
  note.className = "toast";
  note.textContent = text;
  box.append(note);
  setTimeout(() => note.remove(), 4000);
}

// The clipboard API exists on https and localhost only; over plain http a hidden field does it.
async function copy(text) {
  try {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      return true;
    }
  } catch { /* refused: try the old way */ }
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "sr";
  (document.querySelector("dialog[open]") || document.body).append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

function toggleTheme() {
  const dark = page.dataset.theme ? page.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  page.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", page.dataset.theme); } catch { /* not kept */ }
}

function showTab(tab) {
  const group = tab.closest("[data-tabs]");
  for (const other of group.querySelectorAll("[data-tab]")) {
    const chosen = other === tab;
    if (chosen) other.setAttribute("aria-current", "true"); else other.removeAttribute("aria-current");
    const panel = document.getElementById(other.dataset.tab);
    if (panel) panel.hidden = !chosen;
  }
}

function open(dialog) {
  if (dialog instanceof HTMLDialogElement && !dialog.open) dialog.showModal();
}

document.addEventListener("click", async (event) => {
  const hit = event.target.closest(
    "[data-theme-toggle],[data-open],[data-close],[data-copy],[data-tab],[data-reveal],[data-dismiss]",
  );
  if (!hit) return;
  const data = hit.dataset;
  if ("themeToggle" in data) toggleTheme();
  else if ("open" in data) { event.preventDefault(); open(document.getElementById(data.open)); }
  else if ("close" in data) hit.closest("dialog")?.close();
  else if ("tab" in data) { event.preventDefault(); showTab(hit); }
  else if ("reveal" in data) {
    const field = document.getElementById(data.reveal);
    const shown = field.type === "text";
    field.type = shown ? "password" : "text";
    hit.setAttribute("aria-pressed", String(!shown));
  } else if ("copy" in data) {
    const wanted = data.copy;
    const source = wanted.startsWith("#") ? $(wanted) : null;
    const text = source ? (source.value ?? source.textContent) : wanted || hit.closest(".code").querySelector("pre:not([hidden])").textContent;
    toast((await copy(text.trim())) ? document.body.dataset.copied : document.body.dataset.failed);
  }
});

// A click on the scrim closes a dialog, except one that shows something only once.
document.addEventListener("click", (event) => {
  if (event.target instanceof HTMLDialogElement && !("once" in event.target.dataset)) event.target.close();
});

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    const field = $("input[type=search]");
    if (field) { event.preventDefault(); field.focus(); field.select(); }
  }
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit-on-change]")) event.target.form.requestSubmit();
});

function arrived(root) {
  for (const dialog of root.querySelectorAll("dialog[data-show]")) open(dialog);
  for (const note of root.querySelectorAll("[data-toast]")) setTimeout(() => note.remove(), 6000);
}
document.addEventListener("htmx:afterSwap", (event) => arrived(event.target));
document.addEventListener("htmx:load", (event) => arrived(event.target.parentElement || event.target));
for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, () => toast(document.body.dataset.failed));
}
arrived(document);
