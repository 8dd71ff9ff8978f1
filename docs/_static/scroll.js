// What scrolls sideways, code and tables on a narrow screen, can be reached and scrolled by keyboard.
addEventListener("load", () => {
  const watch = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  for (const box of document.querySelectorAll(".highlight pre, .table-wrapper, .formula")) watch.observe(box);
});
