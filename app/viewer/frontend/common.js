// What both viewers share: the planes, their ends, how a place is said, and the page's elements.

/** @typedef {import("./types.js").About} About */
/** @typedef {import("./types.js").Rgb} Rgb */
/** @typedef {import("./types.js").Triple} Triple */

export const PLANES = ["Sagittal", "Coronal", "Axial"] // by the axis (R, A, S) that they cut
export const ENDS = [["L", "R"], ["P", "A"], ["I", "S"]]
export const FAR_SLICES = 5
export const OPACITY_PERCENT = 50

/**
 * "P 14.0" for -14 along the second axis. Of a crop, whose side is not known, "x −14.0" along the first:
 * left and right of the file's zero say nothing of the body's middle.
 * @param {number} axis
 * @param {number} mm
 * @param {boolean} isHead
 */
export function place(axis, mm, isHead = true) {
  const shown = Number(mm.toFixed(1)) // what is shown as 0.0 has no side
  const size = Math.abs(shown).toFixed(1)
  if (axis === 0 && !isHead) return `x ${shown < 0 ? "−" : ""}${size}`
  return `${ENDS[axis][shown < 0 ? 0 : 1]} ${size}`
}

/**
 * The voxel of the scan that a voxel of what is shown stands for: the middle one of its block.
 * @param {Pick<About, "factors">} about
 * @param {Triple} voxel
 */
export function inScan({ factors }, voxel) {
  return voxel.map((n, axis) => n * factors[axis] + (factors[axis] >> 1))
}

/**
 * "Coronal slice 35 of 50, P 14.0 mm"
 * @param {Pick<About, "factors" | "scan_shape" | "head">} about
 * @param {number} axis
 * @param {Triple} voxel
 * @param {number} mm
 */
export function slicePlace(about, axis, voxel, mm) {
  const slice = inScan(about, voxel)[axis] + 1
  return `${PLANES[axis]} slice ${slice} of ${about.scan_shape[axis]}, ${place(axis, mm, Boolean(about.head))} mm`
}

/**
 * An error in the words of a person: what happened, and what to do.
 * @param {import("./types.js").Refusal} error
 */
export function sentences({ message, hint }) {
  return `${message}. ${hint}`
}

/**
 * Tell the page, outside of the viewer's own root, which case's picture stands: its buttons wait for it
 * (app/views/waiting.py).
 * @param {HTMLElement} box the viewer's
 * @param {string} id the case, or a view of it; empty while none is shown
 * @param {string} failed the case, or a view of it, whose picture cannot be shown
 */
export function tellPage(box, id, failed = "") {
  const root = box.getRootNode()
  const host = root instanceof ShadowRoot ? root.host : box.parentElement
  host?.setAttribute("data-shown", id.split(" ")[0])
  host?.setAttribute("data-failed", failed.split(" ")[0])
}

/** @param {string} words */
export function capital(words) {
  return words[0].toUpperCase() + words.slice(1)
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} properties of the element, or attributes
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) Object.assign(made, { [name]: value })
    else made.setAttribute(name, String(value))
  }
  made.append(...children)
  return made
}

/**
 * @param {string} words
 * @param {string} title
 * @param {() => void} action
 */
export function button(words, title, action) {
  const made = element("button", { type: "button", textContent: words, title })
  made.onclick = action
  return made
}

/**
 * A square of a colour.
 * @param {Rgb} rgb
 */
export function swatch(rgb) {
  const made = element("span", { className: "swatch" })
  made.style.background = `rgb(${rgb.join(",")})`
  return made
}

/**
 * One of several names, as buttons in a row.
 * @param {string} name
 * @param {string[]} names
 * @param {string} chosen
 * @param {(name: string) => void} onChange
 */
export function choices(name, names, chosen, onChange) {
  const group = `${name}-${Math.random()}` // radios of one name are one choice
  const labels = names.map((words) => {
    const input = element("input", { type: "radio", name: group, checked: words === chosen })
    input.onchange = () => onChange(words)
    return element("label", { className: "view" }, input, element("span", { textContent: words }))
  })
  return element("span", { className: "views", role: "radiogroup", ariaLabel: name }, ...labels)
}

/**
 * What the server knows of a case and a version of its mask.
 * @param {{ case: string, files: string, version: number }} of
 * @returns {Promise<About>}
 */
export async function aboutOf({ case: id, files, version }) {
  const answer = await fetch(`${files}/about/${version}.json`)
  if (!answer.ok) throw new Error(`about/${version}.json: ${answer.status}`)
  const about = await answer.json()
  if (about.case !== id) throw new Error(`asked for case ${id}, got ${about.case}`)
  return about
}
