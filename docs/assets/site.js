// Names and keyboard access that Material leaves out of what it adds to a page.

const scrollers = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const { clientHeight, clientWidth, scrollHeight, scrollWidth } = target;
    if (scrollWidth > clientWidth || scrollHeight > clientHeight) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});

function improve() {
  for (const scroller of document.querySelectorAll(
    ".md-typeset div.maths, .md-typeset__scrollwrap, .output > pre",
  )) {
    scrollers.observe(scroller);
  }
  for (const buttons of document.querySelectorAll(".md-code__nav")) {
    buttons.role = "none"; // a copy button is no landmark
  }
  for (const link of document.querySelectorAll(".md-annotation__index")) {
    link.ariaLabel = `Annotation ${link.firstChild.dataset.mdAnnotationId}`;
  }
  for (const section of document.querySelectorAll(".md-nav[aria-labelledby]")) {
    const toggle = document.getElementById(section.getAttribute("aria-labelledby"));
    if (toggle?.textContent.trim()) continue;
    // A section with a page of its own has an icon for a toggle: no name to borrow.
    section.ariaLabel = section.querySelector(".md-nav__title").textContent.trim();
    section.removeAttribute("aria-labelledby");
  }
}

improve();
new MutationObserver(improve).observe(document.body, { childList: true, subtree: true });
