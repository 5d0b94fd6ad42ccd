// When NiiVue draws: once a frame, whatever asked for it. Of the panes, the one in 3-D costs more
// than the others together and does not show the crosshair, so that scrolling leaves it as it was:
// then a still of it stands over the canvas.

import { SLICE_TYPE } from "@niivue/niivue"
import { element } from "./common.js"

export class Painter {
  constructor(nv) {
    this.nv = nv
    this.still = element("canvas", { className: "still", hidden: true, ariaHidden: "true" })
    nv.canvas.after(this.still)
    this.draw = nv.drawScene.bind(nv)
    this.cast = nv.drawImage3D.bind(nv)
    this.held = false
    this.changes = 0 // of what NiiVue's own state does not show
    nv.drawScene = () => this.soon()
    nv.drawImage3D = (...pose) => this.drawSpace(pose)
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
    this.still.hidden = !this.shows
    if (this.shows && this.casts) this.keep()
  }

  stop() {
    cancelAnimationFrame(this.frame)
    this.frame = null
  }

  /** NiiVue asks for the scan in space; `pose` is how it is turned. */
  drawSpace(pose) {
    const { nv } = this
    if (nv.opts.sliceType !== SLICE_TYPE.MULTIPLANAR) return this.cast(...pose)
    this.shows = true
    this.pane = nv.screenSlices.at(-1).leftTopWidthHeight
    const [scan] = nv.volumes
    const state = JSON.stringify([
      Array.from(pose[0]), this.pane, nv.canvas.width, nv.canvas.height, this.changes,
      scan.id, scan.cal_min, scan.cal_max, nv.scene.clipPlanes, nv.volumes[1]?.opacity,
    ])
    if (state === this.drawn) return
    this.drawn = state
    this.casts = true
    this.cast(...pose)
  }

  keep() {
    const { canvas } = this.nv
    const [x, y, width, height] = this.pane.map(Math.round)
    Object.assign(this.still, { width, height })
    this.still.getContext("2d").drawImage(canvas, x, y, width, height, 0, 0, width, height)
    const scale = canvas.width / canvas.clientWidth
    const px = (n) => `${n / scale}px`
    Object.assign(this.still.style,
      { left: px(x), top: px(y), width: px(width), height: px(height) })
  }
}
