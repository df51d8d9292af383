// The parts of the page: single sounds, a long recording, and the review of an archive. The address says which one is shown.

import { at } from "./dom.js";

const PARTS = ["sounds", "recording", "review"];

export const shownPart = () => PARTS.find((name) => location.hash === `#${name}`) ?? PARTS[0];

export const showPart = (name) => {
  location.hash = name;
};

/** Show the part that the address names, now and whenever it changes. */
export function followAddress() {
  const show = () => {
    const shown = shownPart();
    for (const name of PARTS) {
      at(`${name}-part`).hidden = name !== shown;
      if (name === shown) at(`${name}-tab`).setAttribute("aria-current", "page");
      else at(`${name}-tab`).removeAttribute("aria-current");
    }
    window.dispatchEvent(new Event("resize")); // canvases have a width again
  };
  window.addEventListener("hashchange", show);
  show();
}
