// Behaviour of every page, by data attributes: nothing inline, nothing fetched from elsewhere.
(() => {
  const page = document.documentElement;
  const words = document.body.dataset;

  // --- Toasts. A popover, so that they stand above an open dialog; older browsers show them below it. --------------
  function raise(box) {
    if (!box.showPopover) return;
    if (box.matches(":popover-open")) box.hidePopover();
    box.showPopover();
  }

  function toast(text, bad = false) {
    const box = document.querySelector(".toasts");
    if (!box || !text || [...box.children].some((known) => known.textContent === text)) return;
    const note = document.createElement("div");
    note.className = bad ? "toast toast-bad" : "toast";
    note.textContent = text;
    box.append(note);
    raise(box);
    setTimeout(() => note.remove(), bad ? 8000 : 4000);
  }

  // --- Copying. The clipboard API exists on https and localhost only; over plain http a hidden field does it. ------
  async function copied(text) {
    try {
      if (navigator.clipboard) {
        await navigator.clipboard.writeText(text);
        return true;
      }
    } catch { /* refused: try the old way */ }
    const field = document.createElement("textarea");
    const focused = document.activeElement;
    field.value = text;
    field.className = "sr";
    (document.querySelector("dialog[open]") || document.body).append(field);
    field.select();
    let done = false;
    try { done = document.execCommand("copy"); } catch { /* not allowed either */ }
    field.remove();
    focused?.focus?.();
    return done;
  }

  function textToCopy(button) {
    const wanted = button.dataset.copy;
    const source = wanted.startsWith("#") ? document.querySelector(wanted) : null;
    if (source) return source.value ?? source.textContent;
    return wanted || button.closest(".code").querySelector("pre:not([hidden])").textContent;
  }

  // --- What a click does -------------------------------------------------------------------------------------------
  function openDialog(dialog) {
    if (!(dialog instanceof HTMLDialogElement) || dialog.open) return;
    dialog.showModal();
  }

  function toggleTheme() {
    const dark = page.dataset.theme
      ? page.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    page.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", page.dataset.theme); } catch { /* not kept */ }
  }

  function showTab(tab) {
    for (const other of tab.closest("[data-tabs]").querySelectorAll("[data-tab]")) {
      const chosen = other === tab;
      if (chosen) other.setAttribute("aria-current", "true"); else other.removeAttribute("aria-current");
      const panel = document.getElementById(other.dataset.tab);
      if (panel) panel.hidden = !chosen;
    }
  }

  // Arrow keys go on from tab to tab, Home and End to the first and the last.
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

  document.addEventListener("keydown", (event) => {
    const tab = event.target.closest?.("[data-tab]");
    if (!tab || event.altKey || wantsNewTab(event)) return;
    const tabs = [...tab.closest("[data-tabs]").querySelectorAll("[data-tab]")];
    let next;
    if (event.key in steps) next = tabs[(tabs.indexOf(tab) + steps[event.key] + tabs.length) % tabs.length];
    else if (event.key === "Home") next = tabs[0];
    else if (event.key === "End") next = tabs.at(-1);
    if (!next) return;
    event.preventDefault();
    showTab(next);
    next.focus();
  });

  function reveal(button) {
    const field = document.getElementById(button.dataset.reveal);
    const shown = field.type === "text";
    field.type = shown ? "password" : "text";
    button.setAttribute("aria-pressed", String(!shown));
  }

  const wantsNewTab = (event) => event.ctrlKey || event.metaKey || event.shiftKey;

  document.addEventListener("click", async (event) => {
    const hit = event.target.closest(
      "[data-theme-toggle],[data-open],[data-close],[data-copy],[data-tab],[data-reveal],[data-reload]",
    );
    if (!hit) {
      // On the scrim: closes the dialog, except one that shows something only once.
      const dialog = event.target;
      if (dialog instanceof HTMLDialogElement && !("once" in dialog.dataset)) dialog.close();
      return;
    }
    const data = hit.dataset;
    if ("themeToggle" in data) toggleTheme();
    else if ("open" in data) {
      if (wantsNewTab(event)) return;
      event.preventDefault();
      openDialog(document.getElementById(data.open));
    } else if ("close" in data) hit.closest("dialog")?.close();
    else if ("tab" in data) {
      event.preventDefault();
      showTab(hit);
    } else if ("reveal" in data) reveal(hit);
    else if ("reload" in data) location.reload();
    else if (await copied(textToCopy(hit).trim())) toast(words.copied);
    else toast(words.notCopied, true);
  });

  // A once-only dialog is not lost by the Escape key either: it has its own button.
  document.addEventListener("cancel", (event) => {
    if (event.target.dataset && "once" in event.target.dataset) event.preventDefault();
  }, true);

  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "k") return;
    const field = document.querySelector("input[type=search]");
    if (!field) return;
    event.preventDefault();
    field.focus();
    field.select();
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit-on-change]")) event.target.form.requestSubmit();
  });

  // --- htmx --------------------------------------------------------------------------------------------------------
  function arrived(root) {
    if (root instanceof HTMLDialogElement && "show" in root.dataset) openDialog(root);
    for (const dialog of root.querySelectorAll("dialog[data-show]")) openDialog(dialog);
  }

  document.addEventListener("htmx:load", (event) => arrived(event.target));

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    if (xhr.responseURL && new URL(xhr.responseURL).pathname.startsWith("/accounts/login")) {
      event.detail.shouldSwap = false; // signed out meanwhile: the whole page goes to the sign-in, not a part of it
      location.reload();
    } else if (xhr.status === 422) { // a form with its errors
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });

  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, () => toast(words.failed, true));
  }

  // --- The page as it came -----------------------------------------------------------------------------------------
  arrived(document);
  const notes = document.querySelectorAll("[data-toast]");
  if (notes.length) raise(notes[0].parentElement);
  for (const note of notes) setTimeout(() => note.remove(), 8000);
})();
