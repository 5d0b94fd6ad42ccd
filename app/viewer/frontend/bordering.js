// The lines of the border over the picture: dragged by the pointer, or moved by keys, from slice to
// slice. What they do to the labels: see border.js.

import { bordersOf, countsOf, putBorder, within } from "./border.js"
import { capital, element } from "./common.js"

/** @typedef {import("./border.js").Border} Border */
/** @typedef {import("./types.js").Side} Side */
/** @typedef {import("./types.js").Triple} Triple */
/**
 * @typedef {object} Drawing what is drawn on
 * @property {import("./labels.js").Labels} labels
 * @property {() => void} tell that the labels change
 * @property {() => void} endStep
 */

const AXIS = 1 // that a coronal plane cuts
const BEYOND_MM = 4 // how far a line goes beyond the labels
const GRIP_PX = 16 // how near the pointer must be

export class Bordering {
  /**
   * @param {import("./types.js").Host} host
   * @param {() => Drawing} drawing
   */
  constructor(host, drawing) {
    this.host = host
    this.drawing = drawing
    this.isShown = false
    /** @type {Border[]} */
    this.borders = []
    /** @type {Border | null} that is dragged */
    this.held = null
    this.at = 0 // the plane that it is at
    this.layer = element("div", { className: "borders" })
    /** @type {Map<string, HTMLElement>} the lines, by side and the axis that their pane cuts */
    this.lines = new Map()
  }

  /** @param {boolean} isShown */
  show(isShown) {
    this.letGo() // what was dragged until now is a step
    this.isShown = isShown
    this.find()
  }

  /** The labels are other ones, or have changed. */
  find() {
    const { host: { opened }, isShown } = this
    if (this.held) return
    this.layer.replaceChildren()
    this.lines.clear()
    this.borders = isShown && opened ? bordersOf(this.drawing().labels, this.names, this.centres) : []
    this.place()
  }

  /** The values of the two labels. */
  get names() {
    const labels = this.host.opened?.about.labels ?? []
    const valueOf = (/** @type {string} */ name) => labels.find((label) => label.name === name)?.value ?? 0
    return { anterior: valueOf("anterior"), posterior: valueOf("posterior") }
  }

  /** Where the sides of a head are, in voxels. */
  get centres() {
    const { opened } = this.host
    const sides = Object.entries(opened?.about.centres_mm ?? {})
    return Object.fromEntries(sides.map(([side, mm]) => [side, opened?.screen.voxelAt(mm)]))
  }

  /** Put the lines where the borders are in the picture that was just drawn. */
  place() {
    const { opened } = this.host
    if (!this.isShown || !opened) return
    const { screen } = opened
    const { voxel, spacing } = screen
    const seen = new Set()
    for (const pane of screen.panes()) for (const border of this.borders) {
      const { axis } = pane
      const { side, low, high } = border
      if (axis === AXIS || voxel[axis] < low[axis] || voxel[axis] > high[axis]) continue
      const along = axis === 0 ? 2 : 0
      const beyond = BEYOND_MM / spacing[along]
      const ends = [low[along] - beyond, high[along] + beyond].map((end) => {
        /** @type {Triple} */
        const point = [...voxel]
        point[AXIS] = this.planeOf(border) - 0.5
        point[along] = end
        return pane.at(point)
      })
      const line = this.lineOf(border, axis)
      const [left, top] = [0, 1].map((w) => Math.min(ends[0][w], ends[1][w]))
      const isUpright = along === 2
      const length = isUpright ? Math.abs(ends[1][1] - ends[0][1]) : Math.abs(ends[1][0] - ends[0][0])
      Object.assign(line.style, {
        left: `${isUpright ? left - GRIP_PX / 2 : left}px`, top: `${isUpright ? top : top - GRIP_PX / 2}px`,
        width: `${isUpright ? GRIP_PX : length}px`, height: `${isUpright ? length : GRIP_PX}px` })
      line.hidden = left < pane.left || top < pane.top || left > pane.right || top > pane.bottom
      this.write(line, border)
      seen.add(`${side} ${axis}`)
    }
    for (const [key, line] of this.lines) if (!seen.has(key)) line.hidden = true
  }

  /**
   * Where a border is now, also while it is dragged.
   * @param {Border} border
   */
  planeOf(border) {
    return border === this.held ? this.at : border.plane
  }

  /**
   * @param {Border} border
   * @param {number} axis that the pane cuts
   */
  lineOf(border, axis) {
    const key = `${border.side} ${axis}`
    const known = this.lines.get(key)
    if (known) return known
    const name = border.side ? `Border of the ${border.side} hippocampus` : "Border"
    const line = element("div", { className: axis === 0 ? "border upright" : "border", tabIndex: 0,
      role: "slider", ariaLabel: name }, element("output", {}))
    line.dataset.side = border.side
    line.onpointerdown = (event) => this.grip(line, border, event)
    line.onpointermove = (event) => this.drag(axis, event)
    line.onpointerup = line.onpointercancel = () => this.letGo()
    line.onkeydown = (event) => {
      const step = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 }[event.key]
      if (!step || event.ctrlKey || event.metaKey || event.altKey) return
      event.preventDefault()
      event.stopPropagation()
      this.step(border.side, step)
      this.lines.get(key)?.focus({ preventScroll: true })
    }
    this.lines.set(key, line)
    this.layer.append(line)
    return line
  }

  /**
   * The slice and the volumes of a side, beside its line.
   * @param {HTMLElement} line
   * @param {Border} border
   */
  write(line, border) {
    const { labels } = this.drawing()
    const voxel = labels.spacing.reduce((product, mm) => product * mm, 1)
    const mm3 = (/** @type {number} */ count) => Math.round(count * voxel).toLocaleString("en")
    const { anterior, posterior } = countsOf(labels, this.names, border)
    const words = `anterior ${mm3(anterior)}, posterior ${mm3(posterior)} mm³`
    const [said] = line.getElementsByTagName("output")
    said.textContent = border.side ? `${capital(border.side)}: ${words}` : capital(words)
    line.ariaValueNow = String(this.planeOf(border))
    line.ariaValueText = `Slice ${this.planeOf(border)}, ${words}`
    line.ariaValueMin = String(within(border, -1))
    line.ariaValueMax = String(within(border, Infinity))
  }

  // Moved

  /**
   * @param {HTMLElement} line
   * @param {Border} border
   * @param {PointerEvent} event
   */
  grip(line, border, event) {
    if (event.button !== 0 || !event.isPrimary || this.held || !this.host.opened) return
    event.preventDefault()
    event.stopPropagation()
    line.setPointerCapture(event.pointerId)
    line.focus({ preventScroll: true })
    this.drawing().labels.begin()
    this.held = border
    this.at = border.plane
  }

  /**
   * @param {number} axis that the line's pane cuts
   * @param {PointerEvent} event
   */
  drag(axis, event) {
    const { held, host: { opened } } = this
    const pane = held && opened ? opened.screen.paneAt(event) : null
    if (!held || !pane?.point || pane.axis !== axis) return
    this.put(held, Math.round(pane.point[AXIS] + 0.5))
  }

  /**
   * @param {Border} border
   * @param {number} plane
   */
  put(border, plane) {
    const to = within(border, plane)
    if (to === this.at) return
    this.at = to
    const { labels, tell } = this.drawing()
    putBorder(labels, this.names, border, to)
    tell()
    this.host.repaint()
  }

  letGo() {
    if (!this.held) return
    this.held = null
    this.drawing().endStep()
    this.find()
  }

  /**
   * A slice to the front (1) or to the back (-1), as a step of its own.
   * @param {Side | "" | null} side of the head; null for the one that the crosshair is nearest to
   * @param {number} count
   */
  step(side, count) {
    if (!this.host.opened) return // another case is loaded
    const border = side === null ? this.nearest : this.borders.find((each) => each.side === side)
    if (!border || this.held) return
    const to = within(border, border.plane + count)
    if (Math.sign(to - border.plane) !== Math.sign(count)) return // at its end
    this.drawing().labels.begin()
    this.held = border
    this.at = border.plane
    this.put(border, to)
    this.letGo()
  }

  /** The border that the crosshair is nearest to. */
  get nearest() {
    const voxel = this.host.opened?.screen.voxel ?? [0, 0, 0]
    const far = (/** @type {Border} */ { low, high }) => voxel.reduce((sum, n, axis) =>
      sum + Math.max(0, low[axis] - n, n - high[axis]) ** 2, 0)
    return [...this.borders].sort((a, b) => far(a) - far(b))[0]
  }
}
