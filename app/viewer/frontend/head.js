// What a whole head has beside a crop: two sides to go to, their boxes, and a way out where the
// search failed: a person points at the hippocampus, and it is segmented there.

import { button, element, sentences } from "./common.js"
import { BOX } from "./shown.js"

/** @typedef {import("./types.js").Side} Side */
/** @typedef {import("./types.js").Triple} Triple */
/** @type {Side[]} */
const SIDES = ["left", "right"]

export class HeadTools {
  /**
   * @param {import("./types.js").Host} host
   * @param {import("./correcting.js").Correcting} correcting
   */
  constructor(host, correcting) {
    this.host = host
    this.correcting = correcting
    /** @type {Map<string, string>} by case, what is said while its side is segmented */
    this.atWork = new Map()
    /** @type {import("./types.js").Head | null} */
    this.head = null
    this.isShown = false
    /** @type {number[] | null} voxels of the boxes' faces */
    this.shell = null
    this.buttons = SIDES.flatMap((side) => [
      button(`Go to ${side}`, `To the patient's ${side} hippocampus`, () => this.goTo(side)),
      button(`Segment ${side} here`,
        `The crosshair is in the middle of the ${side} hippocampus: segment it there`,
        () => this.segment(side)),
    ])
    this.boxes = button("Boxes", "What the network saw of each side", () => this.toggleBoxes())
    this.boxes.ariaPressed = "false"
    this.told = element("output", { className: "told" })
    this.row = element("div", { className: "row", hidden: true },
      ...this.buttons, this.boxes, this.told)
  }

  /**
   * For the case that the viewer has loaded.
   * @param {import("./types.js").About} about
   */
  open({ head, viewing }) {
    this.head = head
    this.row.hidden = !head
    this.isShown = false
    this.boxes.ariaPressed = "false"
    const words = this.atWork.get(this.host.props.case)
    this.told.textContent = words ?? ""
    for (const [i, each] of this.buttons.entries()) {
      each.disabled = Boolean(words)
      each.hidden = Boolean(viewing) && i % 2 === 1 // nothing is segmented from a view
    }
    this.shell = null
  }

  /** @param {Side} side */
  goTo(side) {
    const { host, head } = this
    if (!host.opened || !head) return
    const place = head.sides[side]
    if (place) host.jump(host.opened.screen.voxelAt(place.centre_mm))
    else this.told.textContent = `No ${side} hippocampus was found. Point at it and segment it there`
  }

  toggleBoxes() {
    this.isShown = !this.isShown
    this.boxes.ariaPressed = String(this.isShown)
    this.host.paint()
  }

  /**
   * Draw the faces of the boxes into the picture, where there is no label.
   * @param {Uint8Array} picture
   */
  paint(picture) {
    const { host: { opened }, head } = this
    if (!this.isShown || !opened || !head) return
    const { labels, screen } = opened
    const step = Math.min(1, ...labels.spacing) / 2
    this.shell ??= Object.values(head.sides).flatMap(({ box }) =>
      [...facesOf(box, step, (mm) => labels.index(screen.voxelAt(mm)))])
    for (const index of this.shell) if (!picture[index]) picture[index] = BOX.value
  }

  /** @param {Side} side */
  async segment(side) {
    const { host, correcting } = this
    if (!host.opened) return
    if (correcting.isBusy) {
      this.told.textContent = "Save or discard what you have drawn first"
      return
    }
    // All that it is about, as it is at the click; the answer may come when another case is open.
    const { case: id, files, newest, author } = host.props
    const body = JSON.stringify({ case: id, grid: host.opened.about.grid, side,
      centre_mm: host.opened.screen.mm, base: Math.max(newest, correcting.base), author: author || "" })
    this.tellOf(id, `Segmenting the ${side} hippocampus here`, true)
    let words
    try {
      const answer = await fetch(`${files}/here`,
        { method: "POST", body, headers: { "Content-Type": "application/json" } })
      const told = await answer.json()
      words = answer.ok ? `Saved as version ${told.version}` : sentences(told.error)
      if (answer.ok) correcting.announce(id, told.version)
      else if (told.error.code === "newer_version") correcting.announce(id, 0)
    } catch {
      words = "The server does not answer. Look at the mask before you try again"
      correcting.announce(id, 0) // it may have been done
    }
    this.tellOf(id, words, false)
    if (host.props.case !== id) correcting.noteThat(`${id}, ${side} side: ${words.replace(/\.?$/, ".")}`, id)
  }

  /**
   * Words and state of a case's segmentation, shown while that case is.
   * @param {string} id
   * @param {string} words
   * @param {boolean} isAtWork
   */
  tellOf(id, words, isAtWork) {
    if (isAtWork) this.atWork.set(id, words)
    else this.atWork.delete(id)
    if (this.host.props.case !== id) return
    this.told.textContent = words
    for (const each of this.buttons) each.disabled = isAtWork
  }
}

/**
 * The voxels along the faces of a box; it may lie askew.
 * @param {import("./types.js").Box} box
 * @param {number} step in the box's voxels, small enough to leave none out
 * @param {(mm: Triple) => number} indexAt the number of the voxel at a place
 */
export function facesOf({ shape, affine }, step, indexAt) {
  const indices = new Set()
  const along = shape.map((n) => {
    const places = [-0.5]
    for (let at = -0.5; at < n - 0.5;) {
      at = Math.min(n - 0.5, at + step)
      places.push(at)
    }
    return places
  })
  for (const axis of [0, 1, 2]) {
    const [u, v] = [0, 1, 2].filter((other) => other !== axis)
    for (const end of [-0.5, shape[axis] - 0.5]) {
      for (const a of along[u]) for (const b of along[v]) {
        const at = [0, 0, 0]
        at[axis] = end
        at[u] = a
        at[v] = b
        const [x, y, z] = affine.slice(0, 3).map((row) =>
          row[3] + row[0] * at[0] + row[1] * at[1] + row[2] * at[2])
        indices.add(indexAt([x, y, z]))
      }
    }
  }
  return /** @type {Set<number>} */ (indices)
}
