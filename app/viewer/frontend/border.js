// The border between anterior and posterior: one coronal plane across each hippocampus, which can be
// moved from slice to slice. The whole stays as it is; only the two labels change. No page, no canvas.
//
// The labels are in RAS order, whatever the file's own: the second axis is the one of the scan that is
// closest to the patient's from back to front.

/** @typedef {import("./labels.js").Labels} Labels */
/** @typedef {import("./types.js").Side} Side */
/** @typedef {import("./types.js").Triple} Triple */

const AXIS = 1 // from back to front

/**
 * @typedef {object} Border of one hippocampus
 * @property {Side | ""} side empty on a crop
 * @property {Uint32Array} indices of its voxels
 * @property {Uint8Array} values their labels as they were found
 * @property {number} plane the first slice that is anterior, where one plane tells the two best apart
 * @property {Triple} low first voxel along each axis
 * @property {Triple} high last voxel along each axis
 */

/**
 * The border of each hippocampus, as the labels are now.
 * @param {Labels} labels
 * @param {{ anterior: number, posterior: number }} names their values
 * @param {Partial<Record<Side, Triple>>} centres in voxels; none on a crop
 * @returns {Border[]}
 */
export function bordersOf(labels, names, centres) {
  /** @type {Map<Side | "", number[]>} */
  const found = new Map()
  const sideOf = nearer(centres, labels.spacing)
  labels.values.forEach((value, index) => {
    if (value !== names.anterior && value !== names.posterior) return
    const side = sideOf(labels.voxel(index))
    const of = found.get(side)
    if (of) of.push(index)
    else found.set(side, [index])
  })
  return [...found].map(([side, voxels]) => {
    const indices = Uint32Array.from(voxels)
    const values = Uint8Array.from(indices, (index) => labels.values[index])
    const [low, high] = boxOf(labels, voxels)
    return { side, indices, values, low, high, plane: planeOf(labels, indices, names, low[AXIS], high[AXIS]) }
  })
}

/**
 * Put a border to a plane, within a step of the labels' history; where it was, all is as it was found.
 * @param {Labels} labels
 * @param {{ anterior: number, posterior: number }} names
 * @param {Border} border
 * @param {number} plane the first slice that is anterior
 */
export function putBorder(labels, names, border, plane) {
  const to = within(border, plane)
  border.indices.forEach((index, i) => {
    const isFront = labels.voxel(index)[AXIS] >= to
    const label = isFront ? names.anterior : names.posterior
    labels.set(index, to === border.plane ? border.values[i] : label)
  })
}

/**
 * A plane that leaves a slice of each label at least.
 * @param {Border} border
 * @param {number} plane
 */
export function within({ low, high }, plane) {
  return Math.max(Math.min(low[AXIS] + 1, high[AXIS]), Math.min(high[AXIS], plane))
}

/**
 * Voxels of each label with the border at a plane.
 * @param {Labels} labels
 * @param {{ anterior: number, posterior: number }} names
 * @param {Border} border
 */
export function countsOf(labels, names, { indices }) {
  let anterior = 0
  for (const index of indices) if (labels.values[index] === names.anterior) anterior++
  return { anterior, posterior: indices.length - anterior }
}

/**
 * Where one plane tells the labels best apart: the first slice that is anterior.
 * @param {Labels} labels
 * @param {Uint32Array} indices
 * @param {{ anterior: number, posterior: number }} names
 * @param {number} first slice that has any
 * @param {number} last
 */
function planeOf(labels, indices, { anterior }, first, last) {
  const front = new Uint32Array(last - first + 1)
  const back = new Uint32Array(last - first + 1)
  for (const index of indices) {
    const into = labels.values[index] === anterior ? front : back
    into[labels.voxel(index)[AXIS] - first]++
  }
  // On the wrong side of a plane in front of all: every anterior voxel. Then slice by slice to the back.
  let wrong = front.reduce((sum, n) => sum + n, 0)
  let [best, fewest] = [last + 1, wrong]
  for (let slice = last; slice >= first; slice--) {
    wrong += back[slice - first] - front[slice - first]
    if (wrong < fewest) [best, fewest] = [slice, wrong]
  }
  return best
}

/**
 * Which hippocampus a voxel belongs to: the one whose centre is nearer.
 * @param {Partial<Record<Side, Triple>>} centres
 * @param {number[]} spacing
 * @returns {(voxel: Triple) => Side | ""}
 */
export function nearer({ left, right }, spacing) {
  if (!left || !right) return () => (left ? "left" : right ? "right" : "")
  const far = (/** @type {Triple} */ voxel, /** @type {Triple} */ centre) =>
    voxel.reduce((sum, n, axis) => sum + ((n - centre[axis]) * spacing[axis]) ** 2, 0)
  return (voxel) => (far(voxel, left) <= far(voxel, right) ? "left" : "right")
}

/**
 * @param {Labels} labels
 * @param {number[]} indices
 * @returns {[Triple, Triple]} first and last voxel along each axis
 */
function boxOf(labels, indices) {
  /** @type {Triple} */
  const low = [Infinity, Infinity, Infinity]
  /** @type {Triple} */
  const high = [-1, -1, -1]
  for (const index of indices) {
    labels.voxel(index).forEach((n, axis) => {
      low[axis] = Math.min(low[axis], n)
      high[axis] = Math.max(high[axis], n)
    })
  }
  return [low, high]
}
