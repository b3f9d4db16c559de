// Before anything is drawn: the theme that was chosen here last; without one, the system's.
(() => {
  try {
    const chosen = localStorage.getItem("qm-theme");
    if (chosen) document.documentElement.dataset.theme = chosen;
  } catch { /* storage may be forbidden: the system's theme it is */ }
})();
