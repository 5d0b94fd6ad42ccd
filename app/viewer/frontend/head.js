// What a whole head has beside a crop: two sides to go to, their boxes, and a way out where the
// search failed: a person points at the hippocampus, and it is segmented there.

import { element } from "./common.js"

export const BOX = { value: 10, name: "box", rgb: [228, 230, 233] } // of the picture alone

export class HeadTools {
  constructor(viewer) {
    this.viewer = viewer
    this.atWork = new Map() // by case, what is said while its side is segmented
    const button = (words, title, action) => {
      const made = element("button", { type: "button", textContent: words, title })
      made.onclick = action
      return made
    }
    this.buttons = ["left", "right"].flatMap((side) => [
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

  /** For the case that the viewer has loaded. */
  open() {
    this.head = this.viewer.about.head
    this.row.hidden = !this.head
    this.shown = false
    this.boxes.ariaPressed = "false"
    const words = this.atWork.get(this.viewer.props.case)
    this.told.textContent = words ?? ""
    for (const button of this.buttons) button.disabled = Boolean(words)
    this.shell = null
  }

  voxelOf(mm) {
    const { nv, dims } = this.viewer
    const frac = nv.mm2frac(mm)
    return Array.from(frac, (f, w) => Math.min(dims[w] - 1, Math.max(0, Math.round(f * dims[w] - 0.5))))
  }

  goTo(side) {
    const place = this.head.sides[side]
    if (place) this.viewer.jump(this.voxelOf(place.centre_mm))
    else this.told.textContent = `No ${side} hippocampus was found. Point at it and segment it there`
  }

  toggleBoxes() {
    this.shown = !this.shown
    this.boxes.ariaPressed = String(this.shown)
    this.viewer.paint()
  }

  /** Draw the faces of the boxes into the picture, where there is no label. */
  paint(picture) {
    if (!this.shown) return
    this.shell ??= Object.values(this.head.sides).flatMap(({ box }) => [...this.faces(box)])
    for (const index of this.shell) if (!picture[index]) picture[index] = BOX.value
  }

  /** The voxels along the faces of a box; it may lie askew. */
  faces({ shape, affine }) {
    const found = new Set()
    const { labels } = this.viewer
    const step = Math.min(1, ...labels.spacing) / 2
    const along = shape.map((n) => {
      const places = [-0.5]
      while (places.at(-1) < n - 0.5) places.push(Math.min(n - 0.5, places.at(-1) + step))
      return places
    })
    for (const axis of [0, 1, 2]) {
      const [u, v] = [0, 1, 2].filter((other) => other !== axis)
      for (const end of [-0.5, shape[axis] - 0.5]) {
        for (const a of along[u]) for (const b of along[v]) {
          const at = []
          at[axis] = end
          at[u] = a
          at[v] = b
          const mm = affine.slice(0, 3).map((row) =>
            row[3] + row[0] * at[0] + row[1] * at[1] + row[2] * at[2])
          found.add(labels.index(this.voxelOf(mm)))
        }
      }
    }
    return found
  }

  async segment(side) {
    const { viewer } = this
    const { correcting, about } = viewer
    if (!viewer.volumes) return
    if (correcting.isBusy) {
      this.told.textContent = "Save or discard what you have drawn first"
      return
    }
    // All that it is about, as it is at the click; the answer may come when another case is open.
    const { case: id, files, newest, author } = viewer.props
    const mm = Array.from(viewer.nv.frac2mm(viewer.nv.scene.crosshairPos)).slice(0, 3)
    const body = JSON.stringify({ case: id, grid: about.grid, side, centre_mm: mm,
      base: Math.max(newest, correcting.base), author: author || "" })
    this.tellOf(id, `Segmenting the ${side} hippocampus here`, true)
    let words
    try {
      const answer = await fetch(`${files}/here`,
        { method: "POST", body, headers: { "Content-Type": "application/json" } })
      const told = await answer.json()
      words = answer.ok ? `Saved as version ${told.version}`
        : `${told.error.message}. ${told.error.hint}`
      if (answer.ok) correcting.announce(id, told.version)
      else if (told.error.code === "newer_version") correcting.announce(id, 0)
    } catch {
      words = "The server does not answer. Look at the mask before you try again"
      correcting.announce(id, 0) // it may have been done
    }
    this.tellOf(id, words, false)
    if (viewer.props.case !== id) correcting.noteThat(`${id}, ${side} side: ${words.replace(/\.?$/, ".")}`, id)
  }

  /** Words and state of a case's segmentation, shown while that case is. */
  tellOf(id, words, isAtWork) {
    if (isAtWork) this.atWork.set(id, words)
    else this.atWork.delete(id)
    if (this.viewer.props.case !== id) return
    this.told.textContent = words
    for (const button of this.buttons) button.disabled = isAtWork
  }
}
