"use strict";
const each = (selector, act) => document.querySelectorAll(selector).forEach(act);

// Examples call the host that the page is from.
if (location.protocol.startsWith("http")) {
  const secure = location.protocol === "https:";
  each(".origin", (span) => { span.textContent = location.origin; });
  each(".authority", (span) => {
    span.textContent = `${location.hostname}:${location.port || (secure ? 443 : 80)}`;
  });
  if (secure) each(".plaintext", (span) => span.remove());
}

// Browsers offer the clipboard to pages from https and from this machine only. Elsewhere the selection is copied.
const copy = async (pre) => {
  if (navigator.clipboard) return navigator.clipboard.writeText(pre.textContent);
  getSelection().selectAllChildren(pre);
  document.execCommand("copy");
  getSelection().removeAllRanges();
};
each(".code", (box) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await copy(box.querySelector("pre"));
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  box.append(button);
});

// Requests are shown in one language, the same in all examples. The choice is remembered where the browser allows it.
const groups = [...document.querySelectorAll(".examples")].filter((group) => group.children.length > 1);
const show = (language) => {
  for (const group of groups) {
    for (const example of group.querySelectorAll(".example")) {
      example.hidden = example.querySelector("summary").textContent !== language;
      example.open = true;
    }
    for (const button of group.querySelectorAll(".languages button")) {
      button.setAttribute("aria-pressed", button.textContent === language);
    }
  }
};
for (const group of groups) {
  const languages = document.createElement("div");
  languages.className = "languages";
  languages.setAttribute("role", "group");
  languages.setAttribute("aria-label", "Language of the examples");
  for (const summary of group.querySelectorAll("summary")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = summary.textContent;
    button.addEventListener("click", () => {
      const before = button.getBoundingClientRect().top;
      show(button.textContent);
      // Examples above may be longer or shorter now: the reader stays at this one.
      scrollBy(0, button.getBoundingClientRect().top - before);
      try { localStorage.setItem("language", button.textContent); } catch { /* It is not remembered. */ }
    });
    languages.append(button);
  }
  group.prepend(languages);
}
let language = "curl";
try { language = localStorage.getItem("language") ?? language; } catch { /* Nothing is remembered. */ }
show(groups.some((group) => [...group.querySelectorAll("summary")].some((one) => one.textContent === language)) ? language : "curl");

// Text that scrolls at some width can be scrolled by keyboard.
each("pre", (pre) => { pre.tabIndex = 0; });

// On a narrow screen the contents are closed until they are asked for, and again once a part is chosen.
const nav = document.querySelector("nav");
const contents = nav.querySelector("details");
const narrow = matchMedia("(max-width: 52rem)");
const fold = () => { contents.open = !narrow.matches; };
narrow.addEventListener("change", fold);
contents.addEventListener("click", (event) => { if (narrow.matches && event.target.closest("a")) contents.open = false; });
fold();

// The contents mark the part that is being read.
const links = [...nav.querySelectorAll("a[href^='#']")].filter((link) => !link.classList.contains("home"));
const parts = links.map((link) => document.getElementById(link.hash.slice(1)));
let marked = null;
const mark = () => {
  const end = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
  const above = parts.map((part, index) => [part.getBoundingClientRect().top, index]).filter(([top]) => top < 120);
  const link = end ? links.at(-1) : links[Math.max(0, ...above.map(([, index]) => index))];
  if (link === marked) return;
  marked?.removeAttribute("aria-current");
  link.setAttribute("aria-current", "location");
  marked = link;
  if (nav.scrollHeight > nav.clientHeight) {
    const [box, line] = [nav.getBoundingClientRect(), link.getBoundingClientRect()];
    if (line.top < box.top || line.bottom > box.bottom) nav.scrollTop += line.top - box.top - box.height / 2;
  }
};
addEventListener("scroll", mark, { passive: true });
addEventListener("resize", mark);
mark();
