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
 * @param {number[]} at the place that stays where it is
 * @returns {[number, number, number, number]}
 */
export function zoomed([x, y, z, zoom], factor, at) {
  const next = Math.min(LARGEST_ZOOM, Math.max(1, zoom * factor))
  if (next === 1) return [0, 0, 0, 1]
  const by = zoom - next
  return [x + by * at[0], y + by * at[1], z + by * at[2], next]
}

/**
 * Pan and zoom that show a box in all planes, as large as the panes allow.
 * @param {object} scan
 * @param {number[]} scan.extent along R, A, S in mm
 * @param {number[]} scan.middle its place
 * @param {object} box
 * @param {number[]} box.extent
 * @param {number[]} box.middle
 * @param {{ width: number, height: number }} pane
 * @returns {[number, number, number, number]}
 */
export function closeUp(scan, box, { width, height }) {
  const perMm = (/** @type {number[]} */ extent, /** @type {number[]} */ [u, v]) =>
    Math.min(width / extent[u], height / extent[v])
  const zooms = [[0, 1], [0, 2], [1, 2]].map((plane) => perMm(box.extent, plane) / perMm(scan.extent, plane))
  const zoom = Math.min(LARGEST_ZOOM, Math.max(1, Math.min(...zooms)))
  const [x, y, z] = scan.middle.map((mm, axis) => mm - zoom * box.middle[axis])
  return [x, y, z, zoom]
}

/**
 * The voxel at a place that is given in shares of the scan, or the nearest one.
 * @param {number[]} share
 * @param {number[]} dims
 * @returns {import("./types.js").Triple}
 */
export function voxelOfShare(share, dims) {
  const [x, y, z] = share.map((part, axis) =>
    Math.min(dims[axis] - 1, Math.max(0, Math.round(part * dims[axis] - 0.5))))
  return [x, y, z]
}

/**
 * How much of the scan a pixel shows, in mm.
 * @param {string} name of the view
 * @param {number[]} extent of the scan along R, A, S in mm
 * @param {{ width: number, height: number }} canvas
 * @param {number} zoom
 */
export function mmPerPixel(name, [r, a, s], { width, height }, zoom) {
  // Of several panes each has half of the width and of the height.
  const [w, h] = { Axial: [r, a], Coronal: [r, s], Sagittal: [a, s] }[name] ?? [2 * r, 2 * s]
  return Math.max(w / width, h / height) / zoom
}
