// What is said of volumes while a person draws.

/** @typedef {import("./types.js").About} About */

/**
 * How many voxels of each value.
 * @param {Uint8Array} values
 */
export function counts(values) {
  const found = new Uint32Array(256)
  for (let i = 0; i < values.length; i++) found[values[i]]++ // `of` takes seconds for a head
  return found
}

/**
 * The volumes of what is drawn, and how they changed.
 * @param {Pick<About, "labels" | "too_small">} about
 * @param {Uint32Array} now voxels of each value
 * @param {Uint32Array} before the same, of the saved version
 * @param {number} voxel mm³ of one
 */
export function volumeWords({ labels, too_small }, now, before, voxel) {
  const words = labels.map(({ name, value }) => {
    const mm3 = now[value] * voxel
    const change = Math.round(mm3 - before[value] * voxel)
    const sign = change > 0 ? "+" : "−"
    return `${name} ${Math.round(mm3).toLocaleString("en")} mm³`
      + (change ? ` (${sign}${Math.abs(change).toLocaleString("en")})` : "")
  })
  return [...words, ...(too_small ? ["too small"] : [])].join("   ")
}
