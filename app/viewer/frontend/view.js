// How a case is looked at, as a value: a change gives another one. No page, no canvas.

import { PLANES } from "./common.js"

/** @typedef {import("./types.js").View} View */

export const NAMES = ["All", "Axial", "Coronal", "Sagittal", "3-D"]
const LARGEST_ZOOM = 8

/**
 * The view that a page begins with.
 * @param {string | null} kept the name of the one that the browser remembers
 * @returns {View}
 */
export function firstView(kept) {
  return Object.freeze({ name: kept && NAMES.includes(kept) ? kept : "All", axis: 2,
    isOutlined: false, isDiffering: false, isMeasuring: false, cutPercent: 0, finding: -1 })
}

/**
 * @param {View} view
 * @param {Partial<View>} change
 * @returns {View}
 */
export function changed(view, change) {
  return Object.freeze({ ...view, ...change })
}

/**
 * Another view; a single plane is also the one that keys and slider move through.
 * @param {View} view
 * @param {string} name
 */
export function named(view, name) {
  const axis = PLANES.indexOf(name)
  return changed(view, { name, axis: axis < 0 ? view.axis : axis })
}

/** @param {View} view */
export function nameAfter({ name }) {
  return NAMES[(NAMES.indexOf(name) + 1) % NAMES.length]
}

/**
 * The scan cut open from the left, in percent.
 * @param {View} view
 * @param {number} percent
 */
export function cutOpen(view, percent) {
  return changed(view, { cutPercent: Math.min(100, Math.max(0, percent)) })
}

/**
 * The next place to look at, of so many.
 * @param {View} view
 * @param {number} count
 */
export function nextFinding(view, count) {
  return changed(view, { finding: (view.finding + 1) % count })
}

/**
 * Pan and zoom after a step of the zoom; as at first when nothing is enlarged.
 * @param {[number, number, number, number]} pan x, y and z in mm, and the zoom
 * @param {number} factor
 * @returns {[number, number, number, number]}
 */
export function zoomed([x, y, z, zoom], factor) {
  const next = Math.min(LARGEST_ZOOM, Math.max(1, zoom * factor))
  return next === 1 ? [0, 0, 0, 1] : [x, y, z, next]
}

/**
 * How much of the scan a pixel shows, in mm.
 * @param {string} name of the view
 * @param {number[]} extent of the scan along R, A, S in mm
 * @param {{ width: number, height: number }} canvas
 * @param {number} zoom
 */
export function mmPerPixel(name, [r, a, s], { width, height }, zoom) {
  const [w, h] = { Axial: [r, a], Coronal: [r, s], Sagittal: [a, s] }[name] ?? [r + a, s + a]
  return Math.max(w / width, h / height) / zoom
}
