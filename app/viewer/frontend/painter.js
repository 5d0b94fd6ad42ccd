// When NiiVue draws: once a frame, whatever asked for it. Of the panes, the one in 3-D costs more
// than the others together and does not show the crosshair, so that scrolling leaves it as it was:
// then a still of it stands over the canvas. Without a graphics card it would hold up the first
// slices for seconds: then it waits for a click.

import { SLICE_TYPE } from "@niivue/niivue"
import { button, element } from "./common.js"
import { cutsOf, isDrawnBySoftware, lastPane, takeOverDrawing } from "./niivue.js"
import { storeOf } from "./store.js"

const SPACE_KEY = "hippoview-space" // whether this tab has asked for it
const store = storeOf("sessionStorage")

export class Painter {
  /** @param {import("@niivue/niivue").Niivue} nv attached to a canvas */
  constructor(nv) {
    this.nv = nv
    this.still = element("canvas", { className: "still", hidden: true, ariaHidden: "true" })
    this.wake = button("Show in 3-D\nTakes some seconds: no graphics card here", "",
      () => this.drawSpaceToo())
    Object.assign(this.wake, { className: "wake", hidden: true })
    this.canvas.after(this.still, this.wake)
    const { draw, cast } = takeOverDrawing(nv, {
      scene: () => this.soon(), space: (pose) => this.drawSpace(pose) })
    this.draw = draw
    this.cast = cast
    this.sleeps = isDrawnBySoftware(nv) && !store.get(SPACE_KEY)
    /** After each picture. */
    this.onDraw = () => {}
    this.held = false
    this.changes = 0 // of what NiiVue's own state does not show
    this.shows = false
    this.casts = false
    /** @type {number | null} */
    this.frame = null
    /** @type {string | null} how the pane in space was when it was cast */
    this.drawn = null
    this.pane = [0, 0, 0, 0]
  }

  /** @returns {HTMLCanvasElement} */
  get canvas() {
    return /** @type {HTMLCanvasElement} */ (this.nv.canvas)
  }

  soon() {
    if (this.held) return
    this.frame ??= requestAnimationFrame(() => this.now())
  }

  /** Draw at once; `whole`: also what a still stands for. */
  now({ whole = false } = {}) {
    this.stop()
    if (whole) this.drawn = null
    this.shows = false
    this.casts = false
    this.draw()
    this.still.hidden = !this.shows || this.sleeps
    this.wake.hidden = !this.shows || !this.sleeps
    if (this.shows && this.casts) this.keep()
    if (this.shows && this.sleeps) this.cover(this.wake)
    this.onDraw()
  }

  stop() {
    if (this.frame !== null) cancelAnimationFrame(this.frame)
    this.frame = null
  }

  /**
   * NiiVue asks for the scan in space.
   * @param {any[]} pose how it is turned
   */
  drawSpace(pose) {
    const { nv, canvas } = this
    if (nv.opts.sliceType !== SLICE_TYPE.MULTIPLANAR) return this.cast(pose)
    this.shows = true
    this.pane = lastPane(nv)
    if (this.sleeps) return
    const [scan] = nv.volumes
    const state = JSON.stringify([
      Array.from(pose[0]), this.pane, canvas.width, canvas.height, this.changes,
      scan.id, scan.cal_min, scan.cal_max, cutsOf(nv), nv.volumes[1]?.opacity,
    ])
    if (state === this.drawn) return
    this.drawn = state
    this.casts = true
    this.cast(pose)
  }

  /** From now on, in this tab. */
  drawSpaceToo() {
    store.set(SPACE_KEY, "drawn")
    this.sleeps = false
    this.soon()
  }

  keep() {
    const { canvas } = this
    const [x, y, width, height] = this.pane.map(Math.round)
    Object.assign(this.still, { width, height })
    this.still.getContext("2d")?.drawImage(canvas, x, y, width, height, 0, 0, width, height)
    this.cover(this.still)
  }

  /**
   * Put an element over the pane in space.
   * @param {HTMLElement} cover
   */
  cover(cover) {
    const [left, top, width, height] = this.pane.map(Math.round)
    const scale = this.canvas.width / this.canvas.clientWidth
    const px = (/** @type {number} */ n) => `${n / scale}px`
    Object.assign(cover.style,
      { left: px(left), top: px(top), width: px(width), height: px(height) })
  }
}
