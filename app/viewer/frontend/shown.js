// Which labels the picture shows: whole or as borders, hidden or not, and where two masks differ. No
// page, no canvas.

/** @typedef {import("./labels.js").Labels} Labels */
/** @typedef {import("./types.js").Finding} Finding */
/** @typedef {import("./types.js").Rgb} Rgb */

const MOST_DIFFERENCES = 5

/** @type {{ value: number, name: string, rgb: Rgb }} the faces of a head's boxes: of the picture alone */
export const BOX = { value: 10, name: "box", rgb: [228, 230, 233] }

/** @type {{ value: number, name: string, rgb: Rgb }[]} values of the picture alone: never in a mask */
export const DIFFERENCES = [
  { value: 8, name: "only in this mask", rgb: [240, 228, 66] },
  { value: 9, name: "only in the other", rgb: [204, 121, 167] },
]

/**
 * The colours of all that the picture shows.
 * @param {Pick<import("./types.js").About, "labels">} about
 * @returns {Map<number, Rgb>}
 */
export function coloursOf({ labels }) {
  return new Map([...labels, ...DIFFERENCES, BOX].map(({ value, rgb }) => [value, rgb]))
}

/**
 * Put the labels into the picture.
 * @param {Uint8Array} picture
 * @param {Pick<Labels, "values" | "dims" | "strides">} labels
 * @param {object} how
 * @param {Set<number>} how.visible labels
 * @param {boolean} how.isOutlined
 * @param {number} how.cut the axis that the one plane cuts, for borders within it; -1 in space
 * @param {ArrayLike<number> | null} how.other a mask whose differences are shown
 * @param {boolean} [how.isOfWhole] whether one label in place of another is no difference
 */
export function paintLabels(picture, { values, dims, strides }, { visible, isOutlined, cut, other, isOfWhole = false }) {
  const shown = Uint8Array.from({ length: 256 }, (_, value) => (visible.has(value) ? value : 0))
  if (!other && !isOutlined) { // a head has millions of voxels
    for (let i = 0; i < values.length; i++) picture[i] = shown[values[i]]
    return
  }
  const across = [0, 1, 2].filter((axis) => axis !== cut)
  const [nx, ny, nz] = dims
  let i = 0
  for (let z = 0; z < nz; z++) for (let y = 0; y < ny; y++) for (let x = 0; x < nx; x++, i++) {
    if (other && differs(values[i], other[i], isOfWhole)) {
      picture[i] = DIFFERENCES[values[i] ? 0 : 1].value
      continue
    }
    const value = shown[values[i]]
    if (!value) {
      picture[i] = 0
      continue
    }
    const at = [x, y, z]
    picture[i] = isOutlined && across.every((axis) => at[axis] > 0 && at[axis] < dims[axis] - 1
      && values[i - strides[axis]] === value && values[i + strides[axis]] === value) ? 0 : value
  }
}

/**
 * @param {number} value
 * @param {number} other
 * @param {boolean} isOfWhole
 */
function differs(value, other, isOfWhole) {
  return isOfWhole ? !value !== !other : value !== other
}

/**
 * The largest places where another mask differs, to be looked at.
 * @param {Labels} labels
 * @param {ArrayLike<number>} other
 * @param {boolean} [isOfWhole] whether one label in place of another is no difference
 * @returns {Finding[]}
 */
export function differencesOf(labels, other, isOfWhole = false) {
  const { values } = labels
  const pieces = labels.pieces((i) => differs(values[i], other[i], isOfWhole), true)
  pieces.sort((a, b) => b.length - a.length)
  return pieces.slice(0, MOST_DIFFERENCES).map((piece) => ({
    words: `The masks differ in ${piece.length} voxel${piece.length > 1 ? "s" : ""}`,
    voxel: labels.voxel(piece[piece.length >> 1]), axis: 1,
  }))
}
