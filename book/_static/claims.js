// The ledger of claims: a search box and filters above it, and #C10 opens the claim.
// Without this script every claim is in the page, each behind its own summary.
document.addEventListener("DOMContentLoaded", () => {
  const claims = [...document.querySelectorAll(".claim")].map((node) => ({
    node,
    text: node.textContent.toLowerCase(),
    section: node.closest("section"),
    details: node.querySelector("details"),
  }));
  if (!claims.length) return;

  const element = (tag, attributes = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), attributes);
    made.append(...children);
    return made;
  };
  const sections = [...new Set(claims.map((claim) => claim.section))];
  const title = (section) => section.querySelector("h2").firstChild.textContent;

  const search = element("input", { type: "search", placeholder: "words, or C31", autocomplete: "off" });
  const verdicts = ["supported", "oversimplified", "unsupported", "wrong"].map((value) =>
    element("input", { type: "checkbox", value })
  );
  const part = element(
    "select", {},
    element("option", { value: "" }, "all sections"),
    ...sections.map((section) => element("option", { value: section.id }, title(section)))
  );
  const measured = element("input", { type: "checkbox", name: "measured" });
  const count = element("output", {});
  count.setAttribute("aria-live", "polite");
  const unfold = element("button", { type: "button" }, "Open all shown");
  const clear = element("button", { type: "reset" }, "Clear");
  const form = element(
    "form", { className: "claim-filter" },
    element("label", { className: "claim-search" }, "Search ", search),
    element("label", {}, "Section ", part),
    element(
      "fieldset", {},
      element("legend", {}, "Verdict"),
      ...verdicts.map((box) => element("label", {}, box, " ", box.value))
    ),
    element("label", {}, measured, " measured here"),
    element("p", {}, count, " ", unfold, " ", clear)
  );
  form.setAttribute("role", "search");
  form.setAttribute("aria-label", "Claims");

  const shown = () => claims.filter(({ node }) => !node.hidden);
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = verdicts.filter((box) => box.checked).map((box) => box.value);
    for (const { node, text, section } of claims) {
      node.hidden = !(
        words.every((word) => text.includes(word)) &&
        (!wanted.length || wanted.includes(node.dataset.verdict)) &&
        (!part.value || part.value === section.id) &&
        (!measured.checked || "measured" in node.dataset)
      );
    }
    for (const section of sections) {
      section.hidden = claims.every((claim) => claim.section !== section || claim.node.hidden);
    }
    count.textContent = `${shown().length} of ${claims.length} claims`;
  };

  const openNamed = () => {
    const named = claims.find(({ node }) => node.id === location.hash.slice(1));
    if (!named) return;
    if (named.node.hidden) form.reset(), filter();
    named.details.open = true;
    named.node.scrollIntoView();
  };

  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter)); // the fields are emptied after the event
  unfold.addEventListener("click", () => shown().forEach(({ details }) => (details.open = true)));
  addEventListener("hashchange", openNamed);
  addEventListener("beforeprint", () => claims.forEach(({ details }) => (details.open = true)));
  sections[0].before(form);
  filter();
  openNamed();
});
