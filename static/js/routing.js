// Presets move the sliders, sliders choose "custom"; shares are shown as they are dragged. Without this file a chosen
// preset counts all the same, and the sliders count with "custom".
(() => {
  function showShares(box) {
    const sliders = [...box.querySelectorAll("input[type=range]")];
    const total = sliders.reduce((sum, slider) => sum + Number(slider.value), 0);
    for (const slider of sliders) {
      const share = total ? Math.round((100 * slider.value) / total) : 0;
      box.querySelector(`output[for="${slider.id}"]`).textContent = `${share}%`;
    }
  }

  for (const box of document.querySelectorAll(".weights")) showShares(box);

  document.addEventListener("input", (event) => {
    if (!event.target.name?.startsWith("preview_")) event.target.closest?.("[data-routing]")?.classList.add("changed");
    const box = event.target.closest?.(".weights");
    if (!box) return;
    const own = document.querySelector("[data-routing] [data-own]");
    if (own) own.checked = true;
    showShares(box);
  });

  document.addEventListener("change", (event) => {
    const preset = event.target;
    if (!("preset" in (preset.dataset || {})) || "own" in preset.dataset) return;
    const box = preset.form.querySelector(".weights");
    for (const slider of box.querySelectorAll("input[type=range]")) slider.value = preset.getAttribute(`data-${slider.name}`);
    showShares(box);
  });

  // The ranking is fetched anew all the time: what was unfolded in it stays so.
  let unfolded = false;
  document.addEventListener("htmx:beforeSwap", () => { unfolded = Boolean(document.querySelector("[data-left-out][open]")); });
  document.addEventListener("htmx:afterSwap", () => {
    const found = document.querySelector("[data-left-out]");
    if (found && unfolded) found.open = true;
  });

  // A rule's own sliders are there only where they count.
  const choice = document.querySelector("[data-rule-weights] select");
  const own = document.querySelector("[data-own-weights]");
  if (choice && own) {
    const show = () => { own.hidden = choice.value !== "custom"; };
    choice.addEventListener("change", show);
    show();
  }
})();
