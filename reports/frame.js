// A page shown in a sandboxed frame has no address of its own: no file beside it can be loaded,
// and links to its own sections lead nowhere. It keeps nothing in the browser either.
const HAS_ADDRESS = ["file:", "http:", "https:"].includes(location.protocol);

if (!HAS_ADDRESS) {
  document.addEventListener("click", (event) => {
    const target = event.target.closest?.("a")?.getAttribute("href") ?? "";
    if (!target.startsWith("#")) return;
    event.preventDefault();
    const section = document.getElementById(target.slice(1));
    section.tabIndex = -1;
    section.focus();
    section.scrollIntoView();
  });
}
