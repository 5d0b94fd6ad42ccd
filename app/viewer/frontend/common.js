// What both viewers share: the planes, their ends, and how a place is said.

export const PLANES = ["Sagittal", "Coronal", "Axial"] // by the axis (R, A, S) that they cut
export const ENDS = [["L", "R"], ["P", "A"], ["I", "S"]]
export const FAR_SLICES = 5
export const OPACITY_PERCENT = 50

/** "P 14.0 mm" for -14 along the second axis. */
export function place(axis, mm) {
  return `${ENDS[axis][mm < 0 ? 0 : 1]} ${Math.abs(mm).toFixed(1)}`
}

/** The voxel of the scan that a voxel of what is shown stands for: the middle one of its block. */
export function inScan({ factors }, voxel) {
  return voxel.map((n, axis) => n * factors[axis] + (factors[axis] >> 1))
}

/** "Coronal slice 35 of 50, P 14.0 mm" */
export function slicePlace(about, axis, voxel, mm) {
  const slice = inScan(about, voxel)[axis] + 1
  return `${PLANES[axis]} slice ${slice} of ${about.scan_shape[axis]}, ${place(axis, mm)} mm`
}

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value
    else made.setAttribute(name, value)
  }
  made.append(...children)
  return made
}

/** A square of a colour. */
export function swatch(rgb) {
  const made = element("span", { className: "swatch" })
  made.style.background = `rgb(${rgb.join(",")})`
  return made
}

/** One of several names, as buttons in a row. */
export function choices(name, names, chosen, onChange) {
  const group = `${name}-${Math.random()}` // radios of one name are one choice
  const labels = names.map((words) => {
    const input = element("input", { type: "radio", name: group, checked: words === chosen })
    input.onchange = () => onChange(words)
    return element("label", { className: "view" }, input, element("span", { textContent: words }))
  })
  return element("span", { className: "views", role: "radiogroup", ariaLabel: name }, ...labels)
}

export async function aboutOf({ case: id, files, version }) {
  const answer = await fetch(`${files}/about/${version}.json`)
  if (!answer.ok) throw new Error(`about/${version}.json: ${answer.status}`)
  const about = await answer.json()
  if (about.case !== id) throw new Error(`asked for case ${id}, got ${about.case}`)
  return about
}

// Keys of the page's buttons: accept, reject, next case, confirm.
const PAGE_KEYS = new Set(["y", "x", "j", "Enter"])

/** A key that is held down presses such a button once: what is asked is not confirmed by it. */
export function onlyFresh(event) {
  const { key, repeat } = event
  const isTyped = event.composedPath()[0]?.matches?.("input, textarea, [contenteditable]")
  if (!repeat || isTyped || !PAGE_KEYS.has(key.length === 1 ? key.toLowerCase() : key)) return
  event.stopImmediatePropagation()
  event.preventDefault()
}
