// An aria-label hides the visible text of these controls from screen readers (WCAG 2.5.3).
document.addEventListener("DOMContentLoaded", () => {
  document
    .querySelectorAll("summary[aria-label], .search-button-field, .theme-switch-button")
    .forEach((control) => control.removeAttribute("aria-label"));
  const brand = document.querySelector(".sidebar-primary-item .navbar-brand")?.parentElement;
  if (brand && !brand.closest("nav, [role=navigation]")) {
    brand.setAttribute("role", "navigation");
    brand.setAttribute("aria-label", "Book");
  }
});
