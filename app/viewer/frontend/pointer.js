// The pointer over the picture while a tool is at work: NiiVue does not hear it then.

import { element } from "./common.js"

/** @typedef {{ axis: number, point: number[] }} At the plane of a pane, and a point in voxels */
/**
 * @typedef {object} Tool what is at work
 * @property {() => boolean} isAtWork
 * @property {() => number | null} reachMm the diameter of the ring around the pointer
 * @property {(at: At) => void} down
 * @property {(at: At) => void} move
 * @property {() => void} up
 */

export class Pointer {
  /**
   * @param {import("./types.js").Host} host
   * @param {Tool} tool
   */
  constructor(host, tool) {
    this.host = host
    this.tool = tool
    this.isDown = false
    this.ring = element("div", { className: "ring", hidden: true })
  }

  listen() {
    const { host: { frame: { stage, canvas, box } }, tool } = this
    stage.append(this.ring)
    const draws = (/** @type {Event} */ event) => {
      if (!tool.isAtWork() || !event.composedPath().includes(canvas)) return false
      if (event instanceof MouseEvent) { // a pointer's are of its kind
        return !event.shiftKey && event.button === 0 && event.buttons < 2
      }
      return !(/** @type {TouchEvent} */ (event).shiftKey)
    }
    for (const kind of ["mousedown", "mousemove", "mouseup", "touchstart", "touchmove", "touchend"]) {
      stage.addEventListener(kind, (event) => {
        if (draws(event)) event.stopPropagation() // NiiVue would move the crosshair
      }, { capture: true })
    }
    stage.addEventListener("pointerdown", (event) => {
      if (!draws(event) || !event.isPrimary) return
      box.focus({ preventScroll: true })
      canvas.setPointerCapture(event.pointerId)
      const at = this.at(event)
      this.isDown = Boolean(at)
      if (at) tool.down(at)
    })
    stage.addEventListener("pointermove", (event) => {
      this.showRing(event)
      if (!this.isDown || !event.isPrimary) return
      const parts = event.getCoalescedEvents?.() ?? []
      for (const each of parts.length ? parts : [event]) {
        const at = this.at(each)
        if (at) tool.move(at)
      }
    })
    for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, () => this.lift())
    stage.addEventListener("pointerleave", () => { this.ring.hidden = true })
  }

  lift() {
    if (!this.isDown) return
    this.isDown = false
    this.tool.up()
  }

  /**
   * Where an event is: the plane that its pane cuts, and the point in voxels.
   * @param {PointerEvent} event
   * @returns {At | null}
   */
  at(event) {
    const { opened } = this.host
    const pane = opened?.screen.paneAt(event)
    if (!opened || !pane?.point) return null
    const { axis, point } = pane
    point[axis] = opened.screen.voxel[axis]
    return { axis, point }
  }

  /** @param {PointerEvent} event */
  showRing(event) {
    const { host: { opened, frame }, tool, ring } = this
    const reach = tool.isAtWork() ? tool.reachMm() : null
    const pane = reach !== null && opened ? opened.screen.paneAt(event) : null
    ring.hidden = !pane?.point
    if (reach === null || !pane?.point) return
    const px = reach * pane.pxPerMm
    const box = frame.stage.getBoundingClientRect()
    Object.assign(ring.style, { width: `${px}px`, height: `${px}px`,
      left: `${event.clientX - box.left}px`, top: `${event.clientY - box.top}px` })
  }
}
