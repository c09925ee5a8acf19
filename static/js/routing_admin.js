// "Tick all" of a reviewed catalogue. What is marked as a large change is left to be ticked one by one.
(() => {
  for (const button of document.querySelectorAll("[data-tick]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const boxes = [...button.closest("[data-group]").querySelectorAll("input[name=key]:not(:disabled):not([data-marked])")];
      const tick = boxes.some((box) => !box.checked);
      for (const box of boxes) box.checked = tick;
    });
  }
})();
