// The keys of the timeline; they rest while somebody types, or a control uses the key itself.

const KEYS = {
  j: "next", ArrowDown: "next", k: "previous", ArrowUp: "previous", y: "yes", n: "no", u: "undo", " ": "play",
  Delete: "remove", "+": "zoomIn", "=": "zoomIn", "-": "zoomOut", 0: "all", ArrowLeft: "left", ArrowRight: "right",
};

/** Call `actions[NAME]()` for a key while `isActive()`. */
export function onReviewKey(isActive, actions) {
  document.addEventListener("keydown", (event) => {
    const name = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    const { target } = event;
    if (!name || !isActive() || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.closest("input, select, textarea, dialog, [contenteditable]")) return;
    if (event.key === " " && target.closest("button, a, summary")) return;
    if (event.key.startsWith("Arrow") && !target.closest("#timeline, #overview, #event-rows")) return; // they scroll the page
    event.preventDefault();
    actions[name]();
  });
}
