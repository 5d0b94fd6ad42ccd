// What the page's loader calls: a viewer for each root, by NiiVue where the browser can, else by
// slices that the server draws.

import { FlatViewer } from "./flat.js"
import { isTyped, onlyFresh } from "./keys.js"
import { SliceViewer } from "./slices.js"
import STYLE from "./viewer.css"

/** @type {WeakMap<HTMLElement, SliceViewer | FlatViewer>} */
const viewers = new WeakMap()
/** @type {SliceViewer | FlatViewer | null} the one that was asked for last */
let newest = null
/** @type {boolean | undefined} asked once: browsers allow few contexts at a time */
let hasWebGL

function canDraw() {
  if (hasWebGL === undefined) {
    const gl = document.createElement("canvas").getContext("webgl2")
    hasWebGL = Boolean(gl)
    gl?.getExtension("WEBGL_lose_context")?.loseContext()
  }
  return hasWebGL
}

globalThis.addEventListener?.("keydown", onlyFresh, { capture: true }) // before the page hears it
globalThis.addEventListener?.("keydown", (event) => { // wherever on the page; a viewer hears its own
  if (event.key === "?" && newest instanceof SliceViewer && !isTyped(event)) newest.help()
})

/**
 * Draw into a root, or bring what is drawn there up to date.
 * @param {HTMLElement} root
 * @param {import("./types.js").Props} props
 * @param {(name: string, value: unknown) => void} trigger
 */
export function show(root, props, trigger) {
  let viewer = viewers.get(root)
  if (!viewer) {
    viewer = canDraw() ? new SliceViewer(root, STYLE) : new FlatViewer(root, STYLE)
    viewers.set(root, viewer)
  }
  newest = viewer
  viewer.trigger = trigger
  viewer.ask(props)
}

/**
 * Give back what a root holds.
 * @param {HTMLElement} root
 */
export function leave(root) {
  const viewer = viewers.get(root)
  viewer?.close()
  if (viewer === newest) newest = null
  viewers.delete(root)
}
