// How a case is looked at: planes, slices, windows, rulers, what is painted. `view` is a value (see
// view.js) that is replaced here and only here.

import { FAR_SLICES, PLANES, inScan, place, slicePlace } from "./common.js"
import { visibleLabels } from "./frame.js"
import { lookingCommand } from "./keys.js"
import { coloursOf, paintLabels } from "./shown.js"
import { savePicture } from "./snapshot.js"
import { storeOf } from "./store.js"
import { NAMES, changed, cutOpen, firstView, nameAfter, named, nextFinding } from "./view.js"

/** @typedef {import("./types.js").Host} Host */
/** @typedef {import("./types.js").Triple} Triple */

const VIEW_KEY = "hippoview-view" // kept by the browser; what hides a label is not
const PLAY_MS = 120
const ZOOM = 1.25

const store = storeOf("localStorage")

export class Looking {
  /**
   * @param {Host} host
   * @param {(picture: Uint8Array) => void} paintAlso what else goes into the picture
   */
  constructor(host, paintAlso) {
    this.host = host
    this.paintAlso = paintAlso
    this.view = firstView(store.get(VIEW_KEY))
    this.painting = 0
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.playing = undefined
  }

  /** What the frame's elements ask for. @returns {import("./frame.js").Actions} */
  get actions() {
    return {
      slide: (value) => (this.view.name === "3-D" ? this.cut(value) : this.goTo(value)),
      pickWindow: (index) => this.setWindow(index),
      pickView: (name) => this.setView(name),
      fade: () => this.fade(),
      play: () => this.play(),
      outline: () => this.toggleOutline(),
      ruler: () => this.toggleRuler(),
      nextFinding: () => this.nextFinding(),
      zoomOut: () => this.zoom(1 / ZOOM),
      zoomIn: () => this.zoom(ZOOM),
      reset: () => this.reset(),
      closeUp: () => this.closeUp(),
      picture: () => this.picture(),
      differences: () => this.toggleDifferences(),
      fullScreen: () => this.fullScreen(),
      key: (event) => this.key(event),
    }
  }

  /**
   * A case is loaded: from its first finding on, a crop whole, a head close to its hippocampi.
   * @param {import("./types.js").Opened} opened
   */
  begin({ screen, about }) {
    this.forgetFinding()
    this.cut(0)
    // NiiVue keeps both when it loads other volumes; they belong to the case before.
    screen.clearRulers()
    screen.resetPan()
    if (about.head) screen.closeUp()
  }

  /** What is labelled, large. */
  closeUp() {
    this.host.opened?.screen.closeUp()
    this.thin()
    this.host.beside?.follow()
  }

  /** The findings are other ones. */
  forgetFinding() {
    this.view = changed(this.view, { finding: -1 })
  }

  /** @param {string} name of the view */
  setView(name) {
    this.view = named(this.view, name)
    store.set(VIEW_KEY, name)
    const { host } = this
    if (!host.opened) return
    host.opened.screen.setView(name)
    host.beside?.follow()
    host.frame.buttons.play.disabled = name === "3-D"
    if (name === "3-D") this.stop()
    this.paint()
    this.place()
  }

  /** The canvas has another size, or another zoom. */
  thin() {
    this.host.opened?.screen.thin(this.view.name)
  }

  fade() {
    const { opened, frame, opacity, beside } = this.host
    frame.percent.textContent = `${frame.opacity.value} %`
    opened?.screen.show(coloursOf(opened.about), opacity)
    beside?.fade()
  }

  /** Put the labels that are shown into the picture. */
  paint() {
    const { host: { opened, frame, beside, opacity }, view } = this
    if (!opened) return
    const { screen, about, labels } = opened
    paintLabels(screen.picture, labels, {
      visible: visibleLabels(frame, about.labels), isOutlined: view.isOutlined,
      cut: PLANES.indexOf(view.name), other: view.isDiffering ? beside?.labels ?? null : null,
      isOfWhole: Boolean(beside?.spec.moved),
    })
    this.paintAlso(screen.picture)
    screen.show(coloursOf(about), opacity)
  }

  /** Paint soon, once for all changes until then. */
  repaint() {
    cancelAnimationFrame(this.painting)
    this.painting = requestAnimationFrame(() => this.paint())
  }

  // Where the crosshair is

  /** @param {number} slice along the axis that keys and slider move through */
  goTo(slice) {
    const { host: { opened }, view: { axis } } = this
    if (!opened) return
    const { voxel } = opened.screen
    if (voxel[axis] === slice) return
    voxel[axis] = slice
    opened.screen.goTo(voxel)
  }

  /** @param {Triple} voxel */
  jump(voxel) {
    this.host.opened?.screen.goTo(voxel)
    this.place()
  }

  /**
   * Take the scan away from the left, and leave the labels standing.
   * @param {number} percent
   */
  cut(percent) {
    const { opened } = this.host
    if (!opened) return
    this.view = cutOpen(this.view, percent)
    opened.screen.setCut(this.view.cutPercent)
    this.place()
  }

  /** @param {number} count of slices, or of percent of the cut */
  step(count) {
    const { host: { opened }, view: { name, axis, cutPercent } } = this
    if (!opened) return
    const { screen } = opened
    if (name === "3-D") return this.cut(cutPercent + count)
    this.goTo(Math.min(screen.dims[axis] - 1, Math.max(0, screen.voxel[axis] + count)))
  }

  /**
   * @param {Triple} mm
   * @param {number | undefined} value of the scan
   */
  moved(mm, value) {
    const { opened, frame, beside } = this.host
    if (!opened) return
    this.place()
    const { screen, about, labels } = opened
    const { voxel } = screen
    const drawn = labels.values[labels.index(voxel)]
    const label = about.labels.find((each) => each.value === drawn)
    const point = mm.map((v, axis) => place(axis, v, Boolean(about.head)))
    const counted = about.viewing ? "" : ` · voxel ${inScan(about, voxel).join(", ")}`
    frame.reading.textContent = `${point.join("  ")} mm${counted}`
      + ` · value ${Number(value).toPrecision(4).replace(/\.?0+$/, "")}`
      + ` · ${label ? label.name : "no label"}`
    Object.assign(frame.box.dataset, { voxel: voxel.join(","), label: label ? label.name : "" })
    beside?.follow()
  }

  /** Slider and words of where it is. */
  place() {
    const { host: { opened, frame: { slider, where } }, view: { name, axis, cutPercent } } = this
    if (!opened) return
    const { screen, about } = opened
    let words
    if (name === "3-D") {
      words = cutPercent ? `The scan cut open from the left, ${cutPercent} %`
        : "Slide to cut the scan open"
      slider.max = "100"
      slider.value = String(cutPercent)
    } else {
      const { voxel } = screen
      words = slicePlace(about, axis, voxel, screen.mm[axis])
      slider.max = String(screen.dims[axis] - 1)
      slider.value = String(voxel[axis])
    }
    where.textContent = words
    slider.setAttribute("aria-valuetext", words)
  }

  /**
   * With all planes shown, the keys and the slider follow the pane under the pointer.
   * @param {PointerEvent} event
   */
  hover(event) {
    const { opened } = this.host
    const pane = opened && this.view.name === "All" ? opened.screen.paneAt(event) : null
    if (pane && pane.axis !== this.view.axis) this.turnTo(pane.axis)
  }

  /** @param {number} axis */
  turnTo(axis) {
    this.view = changed(this.view, { axis })
    this.place()
  }

  // Tools

  /** @param {number} index */
  setWindow(index) {
    const { opened } = this.host
    opened?.screen.setWindow(opened.about.windows[index])
  }

  toggleOutline() {
    const isOutlined = !this.view.isOutlined
    this.view = changed(this.view, { isOutlined })
    this.host.frame.buttons.outline.ariaPressed = String(isOutlined)
    this.paint()
  }

  toggleRuler() {
    const { opened, frame } = this.host
    if (!opened) return
    const isMeasuring = !this.view.isMeasuring
    this.view = changed(this.view, { isMeasuring })
    frame.buttons.ruler.ariaPressed = String(isMeasuring)
    opened.screen.setMouse(isMeasuring)
    if (!isMeasuring) opened.screen.clearRulers()
  }

  toggleDifferences() {
    const isDiffering = !this.view.isDiffering
    this.view = changed(this.view, { isDiffering })
    this.host.frame.buttons.differ.ariaPressed = String(isDiffering)
    this.host.frame.legend.hidden = !isDiffering
    this.paint()
  }

  nextFinding() {
    const { opened, frame } = this.host
    if (!opened?.findings.length) return
    this.view = nextFinding(this.view, opened.findings.length)
    const { words, voxel, axis } = opened.findings[this.view.finding]
    if (this.view.name === "All") this.view = changed(this.view, { axis })
    this.jump(voxel)
    frame.buttons.next.title = `${words} (N)`
    frame.box.dataset.finding = words
  }

  /** @param {number} factor */
  zoom(factor) {
    this.host.opened?.screen.zoom(factor)
    this.thin()
  }

  reset() {
    const { opened, frame } = this.host
    if (!opened) return
    opened.screen.resetPan()
    this.thin()
    frame.windows.value = "0"
    this.setWindow(0)
    this.cut(0)
    this.forgetFinding()
    this.nextFinding()
  }

  play() {
    if (this.playing) return this.stop()
    this.playing = setInterval(() => {
      const { host: { opened }, view: { axis } } = this
      if (!opened) return
      const at = opened.screen.voxel[axis]
      this.goTo(at >= opened.screen.dims[axis] - 1 ? 0 : at + 1)
    }, PLAY_MS)
    this.tellOfPlaying("true", "Stop")
  }

  stop() {
    clearInterval(this.playing)
    this.playing = undefined
    this.tellOfPlaying("false", "Play")
  }

  /**
   * @param {string} isPressed
   * @param {string} words
   */
  tellOfPlaying(isPressed, words) {
    Object.assign(this.host.frame.buttons.play, { ariaPressed: isPressed, textContent: words })
  }

  picture() {
    const { opened, frame } = this.host
    if (!opened) return
    const { props } = this.host
    const { conventions, notice } = opened.about
    opened.screen.painter.now({ whole: true })
    savePicture(frame.canvas, `${props.case}_view.png`,
      `${props.case} · ${frame.where.textContent} · ${conventions[props.convention]} · ${notice}`)
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen()
    else this.host.frame.box.requestFullscreen()
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { opened, frame } = this.host
    const target = event.composedPath()[0]
    if (event.altKey || target instanceof HTMLSelectElement || !opened) return
    if (this.host.drawingKey(event)) {
      event.preventDefault()
      event.stopPropagation()
      return
    }
    if (event.ctrlKey || event.metaKey) return
    const command = lookingCommand(event.key)
    if (!command) return
    const moves = target instanceof HTMLInputElement && target.type !== "checkbox"
    if (event.key.length > 1 && moves) return // a slider or a choice that moves by itself
    event.preventDefault()
    event.stopPropagation()
    /** @param {string} name */
    const pick = (name) => frame.views.querySelectorAll("label")[NAMES.indexOf(name)].click()
    /** @param {number} axis */
    const lookAt = (axis) => (this.view.name === "All" ? this.turnTo(axis) : pick(PLANES[axis]))
    /** @param {number} index */
    const toggleLabel = (index) => frame.shows.querySelectorAll("label")[index]?.click()
    /** @type {Record<string, () => void>} */
    const acts = {
      "next": () => this.step(1), "previous": () => this.step(-1),
      "far next": () => this.step(FAR_SLICES), "far previous": () => this.step(-FAR_SLICES),
      "axial": () => lookAt(2), "coronal": () => lookAt(1), "sagittal": () => lookAt(0),
      "first label": () => toggleLabel(0), "second label": () => toggleLabel(1),
      "next view": () => pick(nameAfter(this.view)), "next finding": () => this.nextFinding(),
      "differences": () => { if (!frame.buttons.differ.hidden) this.toggleDifferences() },
      "outline": () => this.toggleOutline(), "ruler": () => this.toggleRuler(),
      "zoom in": () => this.zoom(ZOOM), "zoom out": () => this.zoom(1 / ZOOM),
      "reset": () => this.reset(), "close up": () => this.closeUp(), "play": () => this.play(), "picture": () => this.picture(),
      "full screen": () => this.fullScreen(),
      "help": () => { frame.help.hidden = !frame.help.hidden },
    }
    acts[command]()
  }

  close() {
    this.stop()
    cancelAnimationFrame(this.painting)
  }
}
