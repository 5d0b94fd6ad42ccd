// The picture of the labels, as it goes to the graphics card. NiiVue makes it anew of the whole volume
// at each change, which takes a second for a head without a GPU; here the box that holds labels is
// written. No page, no canvas.

/** @typedef {import("./types.js").Bytes} Bytes */
/** @typedef {import("./types.js").Rgb} Rgb */
/** @typedef {[number[], number[]]} Ends first and last voxel; the first beyond the last if empty */

const CHANNELS = 4

/**
 * First and last voxel of the box that holds all that is not 0.
 * @param {ArrayLike<number>} values the first axis fastest
 * @param {number[]} dims
 * @returns {Ends}
 */
export function boxOf(values, [nx, ny, nz]) {
  const low = [nx, ny, nz]
  const high = [-1, -1, -1]
  let row = 0
  for (let z = 0; z < nz; z++) for (let y = 0; y < ny; y++, row += nx) {
    let first = row
    while (first < row + nx && !values[first]) first++
    if (first === row + nx) continue
    let last = row + nx - 1
    while (!values[last]) last--
    low[0] = Math.min(low[0], first - row)
    high[0] = Math.max(high[0], last - row)
    low[1] = Math.min(low[1], y)
    high[1] = Math.max(high[1], y)
    low[2] = Math.min(low[2], z)
    high[2] = z
  }
  return [low, high]
}

/**
 * The box around two.
 * @param {Ends} a
 * @param {Ends} b
 * @returns {Ends}
 */
export function union(a, b) {
  return [a[0].map((n, axis) => Math.min(n, b[0][axis])), a[1].map((n, axis) => Math.max(n, b[1][axis]))]
}

/**
 * The colours within a box that is not empty: its size in voxels, and its bytes.
 * @param {ArrayLike<number>} values
 * @param {number[]} dims
 * @param {Ends} box
 * @param {ReadonlyMap<number, Rgb>} colours of values
 * @param {number} opacity 0 to 1
 * @returns {{ size: number[], rgba: Bytes }}
 */
export function coloured(values, dims, [low, high], colours, opacity) {
  const table = new Uint8Array(256 * CHANNELS)
  for (const [value, rgb] of colours) table.set([...rgb, Math.round(255 * opacity)], CHANNELS * value)
  const size = low.map((first, axis) => high[axis] - first + 1)
  const rgba = new Uint8Array(size[0] * size[1] * size[2] * CHANNELS)
  let to = 0
  for (let z = low[2]; z <= high[2]; z++) for (let y = low[1]; y <= high[1]; y++) {
    let from = low[0] + dims[0] * (y + dims[1] * z)
    for (let x = low[0]; x <= high[0]; x++, from++, to += CHANNELS) {
      if (!values[from]) continue
      const entry = CHANNELS * values[from]
      for (let channel = 0; channel < CHANNELS; channel++) rgba[to + channel] = table[entry + channel]
    }
  }
  return { size, rgba }
}

/**
 * Colours as NiiVue has those of labels.
 * @param {ReadonlyMap<number, Rgb>} colours of values
 */
export function colourTable(colours) {
  const of = (/** @type {number} */ channel) =>
    [0, ...Array.from(colours.values(), (rgb) => rgb[channel])]
  return {
    R: of(0), G: of(1), B: of(2), A: [0, ...Array.from(colours, () => 255)],
    I: [0, ...colours.keys()], labels: [],
  }
}
