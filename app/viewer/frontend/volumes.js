// What is said of volumes while a person draws.

import { nearer } from "./border.js"
import { capital } from "./common.js"

/** @typedef {import("./types.js").About} About */
/** @typedef {import("./types.js").Side} Side */
/** @typedef {import("./types.js").Triple} Triple */
/** @typedef {(voxel: Triple) => Side | ""} SideOf */
/** @typedef {Record<string, Uint32Array>} Counts by side, of a crop under "": voxels of each value */

/**
 * How many voxels of each value, on each side.
 * @param {Uint8Array} values
 * @param {(index: number) => Side | ""} [sideOf] of a labelled voxel
 * @returns {Counts}
 */
export function counts(values, sideOf = () => "") {
  /** @type {Counts} */
  const found = {}
  for (let i = 0; i < values.length; i++) { // `of` takes seconds for a head
    if (!values[i]) continue
    const of = (found[sideOf(i)] ??= new Uint32Array(256))
    of[values[i]]++
  }
  return found
}

/**
 * The volumes of what is drawn, and how they changed; of a head each side by itself.
 * @param {Pick<About, "labels" | "too_small">} about
 * @param {Counts} now
 * @param {Counts} before the same, of the saved version
 * @param {number} voxel mm³ of one
 */
export function volumeWords({ labels, too_small }, now, before, voxel) {
  const sides = ["left", "right", ""].filter((side) => side in now || side in before)
  const words = (sides.length ? sides : [""]).map((side) => {
    const parts = labels.map(({ name, value }) => {
      const mm3 = (now[side]?.[value] ?? 0) * voxel
      const change = Math.round(mm3 - (before[side]?.[value] ?? 0) * voxel)
      const sign = change > 0 ? "+" : "−"
      return `${name} ${Math.round(mm3).toLocaleString("en")} mm³`
        + (change ? ` (${sign}${Math.abs(change).toLocaleString("en")})` : "")
    })
    return side ? `${capital(side)}: ${parts.join(", ")}` : parts.join("   ")
  })
  return [words.join("; "), ...(too_small ? ["too small"] : [])].join("   ")
}

/** Keeps what was counted of the saved version, which does not change while a person draws. */
export class Volumes {
  constructor() {
    /** @type {{ values: Uint8Array | null, where: string, counts: Counts }} */
    this.before = { values: null, where: "", counts: {} }
  }

  /**
   * @param {Pick<About, "labels" | "too_small">} about
   * @param {import("./labels.js").Labels} labels that are drawn on
   * @param {Uint8Array} saved
   * @param {Partial<Record<Side, Triple>>} centres in voxels; none on a crop
   */
  words(about, labels, saved, centres) {
    const voxel = labels.spacing.reduce((product, mm) => product * mm, 1)
    const nearest = nearer(centres, labels.spacing)
    const sideOf = (/** @type {number} */ index) => nearest(labels.voxel(index))
    const where = JSON.stringify(centres)
    if (this.before.values !== saved || this.before.where !== where) {
      this.before = { values: saved, where, counts: counts(saved, sideOf) }
    }
    return volumeWords(about, counts(labels.values, sideOf), this.before.counts, voxel)
  }
}
