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

// The contents mark the part that is being read.
const nav = document.querySelector("nav");
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
