// Slices of one scan with its labels over them, drawn by NiiVue. What is asked for here (scrolling,
// windows, rulers, pictures) happens in the browser alone; what comes from the page is compared with
// what came before, so that nothing is loaded or moved that stayed the same.

import {
  DRAG_MODE, MULTIPLANAR_TYPE, NVImage, Niivue, SHOW_RENDER, SLICE_TYPE,
} from "@niivue/niivue"
import {
  FAR_SLICES, OPACITY_PERCENT, PLANES, aboutOf, choices, element, inScan, onlyFresh, place,
  slicePlace, swatch,
} from "./common.js"
import { Beside } from "./beside.js"
import { Correcting, DRAWING_KEYS } from "./correcting.js"
import { FlatViewer } from "./flat.js"
import { BOX, HeadTools } from "./head.js"
import { Labels, unpack } from "./labels.js"
import { plateLetters } from "./letters.js"
import { Overlay } from "./overlay.js"
import { Painter } from "./painter.js"
import { storeOf } from "./store.js"
import STYLE from "./viewer.css"

const VIEWS = {
  All: SLICE_TYPE.MULTIPLANAR,
  Axial: SLICE_TYPE.AXIAL,
  Coronal: SLICE_TYPE.CORONAL,
  Sagittal: SLICE_TYPE.SAGITTAL,
  "3-D": SLICE_TYPE.RENDER,
}
const VIEW_KEY = "hippoview-view" // kept by the browser; what hides a label is not
const PLAY_MS = 120
const FROM_LEFT = [270, 0] // azimuth and elevation of the plane that cuts the scan open in 3-D
const NO_CUT = [2, 0, 0]
const ZOOM = 1.25
const LARGEST_ZOOM = 8
const CROSSHAIR_PX = 1.4
const DIFFERENCES = [ // values of the picture alone: never in a mask
  { value: 8, name: "only in this mask", rgb: [240, 228, 66] },
  { value: 9, name: "only in the other", rgb: [204, 121, 167] },
]
const MOST_DIFFERENCES = 5
const DOUBTFUL_PERCENT = 20 // masks that are called unreliable are dimmed
const BANNER_PX = 34
const FONT_PX = 20

const KEYS = [
  ["↑ ↓ or ← →", "next and previous slice"],
  ["Page Up, Page Down", "five slices"],
  ["A C S", "axial, coronal, sagittal"],
  ["N", "next finding"],
  ["D", "where two masks differ"],
  ["1 2", "show or hide a label"],
  ["V", "next view"],
  ["O", "labels as outline or filled"],
  ["M", "ruler"],
  ["+ −", "zoom"],
  ["R", "reset view and window"],
  ["P", "play the slices"],
  ["I", "picture as PNG"],
  ["F", "full screen"],
  ["?", "this list"],
]
const MOUSE = [
  ["Wheel", "next slice of the pane"],
  ["Click or drag", "move the crosshair"],
  ["Right drag", "window: up and down, left and right"],
  ["Shift + drag", "pan"],
]

const viewers = new WeakMap()
const store = storeOf("localStorage")
let hasWebGL // asked once: browsers allow few contexts at a time

function canDraw() {
  if (hasWebGL === undefined) {
    const gl = document.createElement("canvas").getContext("webgl2")
    hasWebGL = Boolean(gl)
    gl?.getExtension("WEBGL_lose_context")?.loseContext()
  }
  return hasWebGL
}

globalThis.addEventListener?.("keydown", onlyFresh, { capture: true }) // before the page hears it

/** Draw into a root, or bring what is drawn there up to date. */
export function show(root, props, trigger) {
  let viewer = viewers.get(root)
  if (!viewer) {
    viewer = canDraw() ? new Viewer(root) : new FlatViewer(root, STYLE)
    viewers.set(root, viewer)
  }
  viewer.trigger = trigger
  viewer.ask(props)
}

/** Give back what a root holds. */
export function leave(root) {
  viewers.get(root)?.close()
  viewers.delete(root)
}

class Viewer {
  constructor(root) {
    this.props = null
    this.work = Promise.resolve()
    this.axis = 2
    const kept = store.get(VIEW_KEY)
    this.view = kept in VIEWS ? kept : "All"
    this.outlined = false
    this.cutPercent = 0
    this.finding = -1
    this.correcting = new Correcting(this)
    this.head = new HeadTools(this)
    this.build(root)
  }

  /** One change after the other: the newest wins when several wait. */
  ask(props) {
    this.asked = props
    this.work = this.work.then(async () => {
      if (this.asked !== props || this.closed) return
      const before = this.props
      this.props = props
      try {
        if (this.loaded !== props.case) await this.load()
        else {
          if (this.box.dataset.version !== String(props.version)) await this.switchMask()
          await this.apply(before)
        }
      } catch (error) {
        console.error(error)
        this.loaded = null
        if (this.closed) return
        this.say("The slices could not be loaded. Allow cookies for this address and reload the "
          + "page; if it fails again, tell the administrator the time.", "failed")
      }
    })
  }

  close() {
    this.correcting.close()
    this.closed = true
    this.stop()
    cancelAnimationFrame(this.painting)
    this.painter?.stop()
    this.beside?.close()
    this.watcher?.disconnect()
    this.nv?.cleanup()
    // Browsers allow few WebGL contexts at once.
    this.nv?.gl?.getExtension("WEBGL_lose_context")?.loseContext()
    this.box.remove()
  }

  // The frame

  build(root) {
    this.canvas = element("canvas", { role: "img", tabIndex: -1 })
    this.slider = element("input", { type: "range", min: 0, step: 1, ariaLabel: "Slice" })
    this.slider.oninput = () => {
      const value = Number(this.slider.value)
      if (this.view === "3-D") this.cut(value)
      else this.goTo(value)
    }
    this.where = element("output", { className: "where" })
    this.reading = element("output", { className: "reading" })
    this.message = element("div", { className: "message", role: "status" })
    this.reduced = element("div", { className: "reduced", hidden: true })
    this.windows = element("select", { ariaLabel: "Window" })
    this.windows.onchange = () => this.setWindow(Number(this.windows.value))
    const button = (words, title, action) => {
      const made = element("button", { type: "button", textContent: words, title })
      made.onclick = action
      return made
    }
    this.buttons = {
      play: button("Play", "Play the slices (P)", () => this.play()),
      outline: button("Outline", "Labels as outline or filled (O)", () => this.toggleOutline()),
      ruler: button("Ruler", "Measure in mm: drag (M)", () => this.toggleRuler()),
      next: button("Next finding", "Largest sections, fragments (N)", () => this.nextFinding()),
      out: button("−", "Zoom out (−)", () => this.zoom(1 / ZOOM)),
      in: button("+", "Zoom in (+)", () => this.zoom(ZOOM)),
      reset: button("Reset", "View and window as at first (R)", () => this.reset()),
      picture: button("Picture", "What is shown, as PNG (I)", () => this.picture()),
      differ: button("Differences", "Where the two masks differ (D)",
        () => this.toggleDifferences()),
      full: button("Full screen", "Full screen (F)", () => this.fullScreen()),
      help: button("?", "Keys and mouse (?)", () => this.toggleHelp()),
    }
    this.buttons.out.ariaLabel = "Zoom out"
    this.buttons.in.ariaLabel = "Zoom in"
    this.buttons.help.ariaLabel = "Keys and mouse"
    this.views = choices("View", Object.keys(VIEWS), this.view, (name) => this.setView(name))
    this.shows = element("span", { className: "shows" })
    this.opacity = element("input", { type: "range", min: 0, max: 100, step: 5,
      value: OPACITY_PERCENT, ariaLabel: "Opacity" })
    this.opacity.oninput = () => this.setOpacity()
    this.percent = element("output", { className: "percent" })
    this.buttons.differ.hidden = true
    for (const name of ["play", "outline", "ruler", "differ"]) this.buttons[name].ariaPressed = "false"
    const row = ([key, words]) => element("tr", {}, element("th", { textContent: key }),
      element("td", { textContent: words }))
    this.help = element("div", { className: "help", hidden: true },
      element("table", {}, ...KEYS.map(row), ...DRAWING_KEYS.map(row), ...MOUSE.map(row)))
    this.caption = element("div", { className: "caption", hidden: true })
    this.legend = element("span", { className: "legend", hidden: true },
      ...DIFFERENCES.flatMap(({ name, rgb }) => [swatch(rgb), ` ${name} `]))
    this.stage = element("div", { className: "stage" },
      this.canvas, this.caption, this.message, this.help)
    this.stages = element("div", { className: "stages" }, this.stage)
    this.correcting.listen(this.stage)
    const { play, ...others } = this.buttons
    this.box = element("div", { className: "viewer", tabIndex: 0, role: "group",
      ariaLabel: "Slices. Arrow keys scroll, question mark lists the keys." },
      element("div", { className: "row" },
        this.views, this.shows,
        element("span", { className: "opacity" }, "Opacity ", this.opacity, this.percent)),
      this.stages, this.reduced, this.correcting.note, this.head.row, ...this.correcting.rows,
      element("div", { className: "row" }, this.slider, this.where, play),
      element("div", { className: "row" },
        this.windows, this.correcting.toggle, ...Object.values(others)),
      this.reading)
    this.box.onkeydown = (event) => this.key(event)
    root.append(element("style", { textContent: STYLE }), this.box)
  }

  say(words, state) {
    this.message.textContent = words
    this.message.hidden = !words
    this.box.dataset.state = state
  }

  // Loading, and what the page asks for

  async load() {
    const { files, height, version } = this.props
    this.stages.style.height = `${height}px`
    const begun = performance.now()
    this.correcting.leave()
    this.loaded = null
    this.volumes = null
    this.say("Loading the slices", "loading")
    const fetched = this.fetchVolumes(files, version) // while the graphics are set up
    fetched.catch(() => {}) // it is waited for below
    this.about = await aboutOf(this.props)
    if (!this.nv) await this.attach()
    this.painter.held = true
    this.stop()
    const { windows } = this.about
    this.windows.replaceChildren(...windows.map(({ name }, i) =>
      element("option", { value: i, textContent: `Window: ${name}` })))
    const volumes = await fetched
    if (this.closed || this.asked.case !== this.props.case) return // another is waited for
    const isDoubtful = this.about.head?.confidence === "unreliable"
    this.opacity.value = isDoubtful ? DOUBTFUL_PERCENT : OPACITY_PERCENT
    this.overlay = this.put(this.painter, volumes, windows[0])
    this.volumes = this.nv.volumes
    this.reduced.textContent = this.about.reduced
    this.reduced.hidden = !this.about.reduced
    this.correcting.toggle.disabled = Boolean(this.about.reduced)
    const values = Uint8Array.from(this.volumes[1].img)
    this.labels = new Labels(values, this.dims, this.volumes[0].pixDimsRAS.slice(1, 4))
    this.shows.replaceChildren(...this.about.labels.map(({ name, rgb }) => {
      const input = element("input", { type: "checkbox", checked: true, value: name })
      input.onchange = () => this.paint()
      return element("label", {}, input, name[0].toUpperCase() + name.slice(1), swatch(rgb))
    }))
    this.findings = this.about.findings
    this.finding = -1
    this.percent.textContent = `${this.opacity.value} %`
    this.cut(0)
    // NiiVue keeps both when it loads other volumes; they belong to the case before.
    this.nv.clearAllMeasurements()
    this.nv.setPan2Dxyzmm([0, 0, 0, 1])
    this.head.open()
    await this.correcting.open()
    await this.apply(null)
    if (this.closed) return
    this.setView(this.view)
    this.nextFinding()
    this.painter.held = false
    this.painter.now()
    this.nv.gl.finish()
    this.box.dataset.case = this.props.case
    this.box.dataset.version = version
    this.loaded = this.props.case
    this.box.dataset.loadMs = Math.round(performance.now() - begun)
    this.say("", "ready")
  }

  async attach() {
    await new Promise((sized) => {
      this.watcher = new ResizeObserver(() => {
        if (!this.stage.clientWidth) return
        if (this.nv) {
          this.nv.resizeListener()
          this.thin()
          this.painter.now()
        }
        sized()
      })
      this.watcher.observe(this.stage)
    })
    this.painter = await this.niivue(this.canvas)
    const { nv } = this.painter
    nv.onLocationChange = (location) => this.moved(location)
    this.canvas.addEventListener("pointermove", (event) => this.hover(event))
    this.nv = nv
    this.setMouse()
  }

  /** NiiVue in a canvas, as both viewers have it, with who draws it. */
  async niivue(canvas) {
    const { letters } = this.about
    const nv = new Niivue({
      backColor: [0, 0, 0, 1], fontColor: letters, fontMinPx: FONT_PX,
      showAllOrientationMarkers: true, isOrientCube: false,
      crosshairColor: [1, 1, 1, 0.7], crosshairWidth: 1, crosshairWidthUnit: "mm",
      crosshairGap: 2, show3Dcrosshair: false,
      isForceMouseClickToVoxelCenters: true,
      isNearestInterpolation: true, dragAndDropEnabled: false, logLevel: "error",
      loadingText: "", multiplanarLayout: MULTIPLANAR_TYPE.GRID,
      multiplanarShowRender: SHOW_RENDER.ALWAYS, multiplanarPadPixels: 10, tileMargin: 0,
      viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "",
      dragMode: DRAG_MODE.windowing, rulerWidth: 2, renderOverlayBlend: 1,
    })
    await nv.attachToCanvas(canvas)
    plateLetters(nv)
    return new Painter(nv)
  }

  /** The scan and one version of its mask, not yet shown. */
  fetchVolumes(files, version) {
    return Promise.all([
      NVImage.loadFromUrl({ url: `${files}/scan.nii.gz`, name: "scan.nii.gz", colormap: "gray" }),
      NVImage.loadFromUrl({ url: `${files}/masks/${version}.nii.gz`, name: "mask.nii.gz" }),
    ])
  }

  /** Show them in a NiiVue: set up first, so that each goes to the graphics card once. */
  put(painter, [scan, mask], { low, high }) {
    const { nv } = painter
    // Not before: what loadFromUrl is given NiiVue replaces by a range of its own.
    Object.assign(scan, { cal_min: low, cal_max: high })
    nv.opts.isRadiologicalConvention = this.isRadiological
    mask.setColormapLabel(this.labelColours())
    mask.opacity = this.opacity.value / 100
    nv.volumes = [scan, mask]
    nv.setVolume(mask, 1)
    return new Overlay(painter)
  }

  setMouse() {
    this.nv.setMouseEventConfig({
      leftButton: {
        primary: this.measuring ? DRAG_MODE.measurement : DRAG_MODE.crosshair,
        withShift: DRAG_MODE.pan,
      },
      rightButton: DRAG_MODE.windowing, centerButton: DRAG_MODE.pan,
    })
  }

  async apply(before) {
    const { nv, props } = this
    if (!this.volumes) return
    const changed = (name) => JSON.stringify(before?.[name]) !== JSON.stringify(props[name])
    if (changed("height")) this.stages.style.height = `${props.height}px`
    if (changed("convention")) {
      this.canvas.ariaLabel = this.words
      nv.opts.isRadiologicalConvention = this.isRadiological
      nv.drawScene()
    }
    if (before) this.correcting.heard(props)
    if (changed("beside") || changed("version")) await this.compare()
    else this.beside?.follow()
  }

  /** Another version of the mask: the scan, the place and the view stay. */
  async switchMask() {
    const { props, correcting } = this
    const isSavedHere = correcting.shown === props.version
    if (!isSavedHere && correcting.isBusy) return // what is drawn stays, whatever the page shows
    const about = await aboutOf(props)
    if (!isSavedHere) {
      const answer = await fetch(`${props.files}/masks/${props.version}.nii.gz`)
      if (!answer.ok) throw new Error(`mask: ${answer.status}`)
      const file = await unpack(new Uint8Array(await answer.arrayBuffer()))
      if (this.closed || correcting.isBusy) return
      this.labels.values.set(file.slice(-this.labels.values.length))
      this.labels.forget()
      correcting.start()
    }
    this.about = about
    this.head.open()
    this.findings = this.about.findings
    this.finding = -1
    this.box.dataset.version = props.version
    this.paint()
  }

  /** Show what the page wants beside the first, or nothing. */
  async compare() {
    const { beside, case: own, version } = this.props
    this.beside?.close()
    this.beside = null
    this.findings = this.about.findings
    this.caption.hidden = !beside
    this.caption.replaceChildren(version ? `Version ${version}` : "The model's mask", this.legend)
    if (beside) {
      const other = new Beside(this)
      this.beside = other
      this.stages.append(other.stage)
      await other.load(beside, await aboutOf(beside), (canvas) => this.niivue(canvas))
      if (this.closed) return other.close()
    }
    const comparable = beside?.case === own && Boolean(this.beside?.labels)
    this.buttons.differ.hidden = !comparable
    if (comparable) {
      const { values } = this.labels
      const other = this.beside.labels
      const pieces = this.labels.pieces((i) => values[i] !== other[i], true)
      pieces.sort((a, b) => b.length - a.length)
      const places = pieces.slice(0, MOST_DIFFERENCES).map((piece) => ({
        words: `The masks differ in ${piece.length} voxel${piece.length > 1 ? "s" : ""}`,
        voxel: this.labels.voxel(piece[piece.length >> 1]), axis: 1,
      }))
      this.findings = [...places, ...this.about.findings]
    } else if (this.differing) this.toggleDifferences()
    this.finding = -1
    this.box.dataset.beside = this.beside ? `${beside.case} ${beside.version}` : ""
  }

  setView(name) {
    this.view = name
    store.set(VIEW_KEY, name)
    if (!this.volumes) return
    this.nv.setSliceType(VIEWS[name])
    this.thin()
    this.beside?.follow()
    const axis = PLANES.indexOf(name)
    if (axis >= 0) this.axis = axis
    this.buttons.play.disabled = name === "3-D"
    if (name === "3-D") this.stop()
    this.paint()
    this.place()
  }

  /** The crosshair as thin as a line on the screen, whatever the view shows. */
  thin() {
    if (!this.volumes) return
    const spacing = this.volumes[0].pixDimsRAS.slice(1, 4)
    const [r, a, s] = this.dims.map((n, axis) => n * spacing[axis])
    const [w, h] = { Axial: [r, a], Coronal: [r, s], Sagittal: [a, s] }[this.view] ?? [r + a, s + a]
    const { width, height, clientWidth } = this.canvas
    const mmPerPixel = Math.max(w / width, h / height) / this.nv.scene.pan2Dxyzmm[3]
    this.nv.setCrosshairWidth(CROSSHAIR_PX * (width / clientWidth) * mmPerPixel)
  }

  setOpacity() {
    this.percent.textContent = `${this.opacity.value} %`
    if (this.volumes) this.overlay.show(this.colours, this.opacity.value / 100)
    this.beside?.setOpacity()
  }

  get isRadiological() {
    return this.props.convention === "radiological"
  }

  get words() {
    return this.about.conventions[this.props.convention]
  }

  get colours() {
    return new Map([...this.about.labels, ...DIFFERENCES, BOX].map(({ value, rgb }) => [value, rgb]))
  }

  labelColours() {
    const { colours } = this
    const of = (channel) => [0, ...Array.from(colours.values(), (rgb) => rgb[channel])]
    return {
      R: of(0), G: of(1), B: of(2), A: [0, ...Array.from(colours, () => 255)],
      I: [0, ...colours.keys()], labels: [],
    }
  }

  /** Put the labels that are shown into the picture, whole or as their borders. */
  paint() {
    const visible = new Uint8Array(256)
    const boxes = this.shows.querySelectorAll("input")
    this.about.labels.forEach(({ value }, i) => { visible[value] = boxes[i].checked ? value : 0 })
    const [nx, ny, nz] = this.dims
    const strides = [1, nx, nx * ny]
    const cut = PLANES.indexOf(this.view) // a border within the one plane, or in space
    const across = [0, 1, 2].filter((axis) => axis !== cut)
    const picture = this.volumes[1].img
    const all = this.labels.values
    const other = this.differing ? this.beside?.labels : null
    let i = 0
    if (!other && !this.outlined) { // a head has millions of voxels
      for (; i < all.length; i++) picture[i] = visible[all[i]]
    } else for (let z = 0; z < nz; z++) for (let y = 0; y < ny; y++) for (let x = 0; x < nx; x++, i++) {
      if (other && other[i] !== all[i]) {
        picture[i] = DIFFERENCES[all[i] ? 0 : 1].value
        continue
      }
      const value = visible[all[i]]
      if (!value) {
        picture[i] = 0
        continue
      }
      const at = [x, y, z]
      picture[i] = this.outlined && across.every((axis) =>
        at[axis] > 0 && at[axis] < this.dims[axis] - 1
        && all[i - strides[axis]] === value && all[i + strides[axis]] === value) ? 0 : value
    }
    this.head.paint(picture)
    this.overlay.show(this.colours, this.opacity.value / 100)
  }

  /** Paint soon, once for all changes until then. */
  repaint() {
    cancelAnimationFrame(this.painting)
    this.painting = requestAnimationFrame(() => {
      if (this.volumes) this.paint()
    })
  }

  labelAt(voxel) {
    const value = this.labels.values[this.labels.index(voxel)]
    return this.about.labels.find((label) => label.value === value)
  }

  // Where the crosshair is

  get dims() {
    return this.volumes[0].dimsRAS.slice(1, 4)
  }

  get voxel() {
    return Array.from(this.nv.frac2vox(this.nv.scene.crosshairPos), Math.round)
  }

  goTo(slice) {
    if (!this.volumes) return
    const steps = [0, 0, 0]
    steps[this.axis] = slice - this.voxel[this.axis]
    if (steps[this.axis]) this.nv.moveCrosshairInVox(...steps)
  }

  jump(voxel) {
    const steps = voxel.map((v, axis) => v - this.voxel[axis])
    this.nv.moveCrosshairInVox(...steps)
    this.place()
  }

  /** Take the scan away from the left, and leave the labels standing. */
  cut(percent) {
    this.cutPercent = Math.min(100, Math.max(0, percent))
    this.nv.setClipPlane(this.cutPercent ? [0.5 - this.cutPercent / 100, ...FROM_LEFT] : NO_CUT)
    this.place()
  }

  step(count) {
    if (!this.volumes) return
    if (this.view === "3-D") return this.cut(this.cutPercent + count)
    const last = this.dims[this.axis] - 1
    this.goTo(Math.min(last, Math.max(0, this.voxel[this.axis] + count)))
  }

  moved(location) {
    if (!this.volumes) return
    this.place()
    const value = location.values?.[0]?.value
    const label = this.labelAt(this.voxel)
    const mm = Array.from(location.mm).slice(0, 3)
    const point = mm.map((v, axis) => place(axis, v))
    const voxel = inScan(this.about, this.voxel).join(", ")
    this.reading.textContent = `${point.join("  ")} mm · voxel ${voxel} · value `
      + `${Number(value).toPrecision(4).replace(/\.?0+$/, "")} · ${label ? label.name : "no label"}`
    this.box.dataset.voxel = this.voxel.join(",")
    this.box.dataset.label = label ? label.name : ""
    this.beside?.follow()
  }

  place() {
    const { axis } = this
    if (this.view === "3-D") {
      this.slider.max = 100
      this.slider.value = this.cutPercent
      this.where.textContent = this.cutPercent
        ? `The scan cut open from the left, ${this.cutPercent} %`
        : "Slide to cut the scan open"
      this.slider.ariaValueText = this.where.textContent
      return
    }
    const { voxel } = this
    const mm = this.nv.frac2mm(this.nv.scene.crosshairPos)[axis]
    this.slider.max = this.dims[axis] - 1
    this.slider.value = voxel[axis]
    this.where.textContent = slicePlace(this.about, axis, voxel, mm)
    this.slider.ariaValueText = this.where.textContent
  }

  /** With all planes shown, the keys and the slider follow the pane under the pointer. */
  hover(event) {
    if (!this.volumes || this.view !== "All") return
    const scale = this.canvas.width / this.canvas.clientWidth
    const tile = this.nv.tileIndex(event.offsetX * scale, event.offsetY * scale)
    const kind = this.nv.screenSlices[tile]?.axCorSag
    const axis = [2, 1, 0][kind]
    if (axis !== undefined && axis !== this.axis) {
      this.axis = axis
      this.place()
    }
  }

  // Tools

  setWindow(index) {
    if (!this.volumes) return
    const { low, high } = this.about.windows[index]
    this.volumes[0].cal_min = low
    this.volumes[0].cal_max = high
    this.nv.refreshLayers(this.volumes[0], 0)
    this.nv.drawScene()
  }

  toggleOutline() {
    this.outlined = !this.outlined
    this.buttons.outline.ariaPressed = String(this.outlined)
    if (this.volumes) this.paint()
  }

  toggleRuler() {
    if (!this.volumes) return
    this.measuring = !this.measuring
    this.buttons.ruler.ariaPressed = String(this.measuring)
    this.setMouse()
    if (!this.measuring) this.nv.clearAllMeasurements()
  }

  toggleDifferences() {
    this.differing = !this.differing
    this.buttons.differ.ariaPressed = String(this.differing)
    this.legend.hidden = !this.differing
    if (this.volumes) this.paint()
  }

  nextFinding() {
    const { findings } = this
    if (!this.volumes || !findings.length) return
    this.finding = (this.finding + 1) % findings.length
    const { words, voxel, axis } = findings[this.finding]
    if (this.view === "All") this.axis = axis
    this.jump(voxel)
    this.buttons.next.title = `${words} (N)`
    this.box.dataset.finding = words
  }

  zoom(factor) {
    if (!this.volumes) return
    const [x, y, z, scale] = this.nv.scene.pan2Dxyzmm
    const next = Math.min(LARGEST_ZOOM, Math.max(1, scale * factor))
    this.nv.setPan2Dxyzmm(next === 1 ? [0, 0, 0, 1] : [x, y, z, next])
    this.thin()
  }

  reset() {
    if (!this.volumes) return
    this.nv.setPan2Dxyzmm([0, 0, 0, 1])
    this.thin()
    this.windows.value = 0
    this.setWindow(0)
    this.cut(0)
    this.finding = -1
    this.nextFinding()
  }

  play() {
    if (this.playing) return this.stop()
    this.playing = setInterval(() => {
      const last = this.dims[this.axis] - 1
      const at = this.voxel[this.axis]
      this.goTo(at >= last ? 0 : at + 1)
    }, PLAY_MS)
    this.buttons.play.ariaPressed = "true"
    this.buttons.play.textContent = "Stop"
  }

  stop() {
    clearInterval(this.playing)
    this.playing = null
    this.buttons.play.ariaPressed = "false"
    this.buttons.play.textContent = "Play"
  }

  picture() {
    if (!this.volumes) return
    const { width, height } = this.canvas
    const scale = width / this.canvas.clientWidth
    const band = BANNER_PX * scale
    const out = element("canvas", { width, height: height + band })
    const pen = out.getContext("2d")
    this.painter.now({ whole: true }) // WebGL forgets what it drew once it is shown
    pen.drawImage(this.canvas, 0, 0)
    pen.fillStyle = "#fff"
    pen.font = `${13 * scale}px sans-serif`
    pen.textBaseline = "middle"
    const text = `${this.props.case} · ${this.where.textContent} · ${this.words} · `
      + this.about.notice
    pen.fillText(text, 8 * scale, height + band / 2, width - 16 * scale)
    const link = element("a", { download: `${this.props.case}_view.png`,
      href: out.toDataURL("image/png") })
    link.click()
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen()
    else this.box.requestFullscreen()
  }

  toggleHelp() {
    this.help.hidden = !this.help.hidden
  }

  key(event) {
    const typing = event.composedPath()[0]
    if (event.altKey || typing instanceof HTMLSelectElement || !this.volumes) return
    if (this.correcting.key(event)) {
      event.preventDefault()
      event.stopPropagation()
      return
    }
    if (event.ctrlKey || event.metaKey) return
    const look = (axis) => {
      if (this.view !== "All") return pick(PLANES[axis])
      this.axis = axis
      this.place()
    }
    const pick = (name) => this.views.children[Object.keys(VIEWS).indexOf(name)].click()
    const nextView = () => {
      const names = Object.keys(VIEWS)
      pick(names[(names.indexOf(this.view) + 1) % names.length])
    }
    const show = (index) => this.shows.querySelectorAll("label")[index]?.click()
    const actions = {
      ArrowUp: () => this.step(1), ArrowDown: () => this.step(-1),
      ArrowRight: () => this.step(1), ArrowLeft: () => this.step(-1),
      PageUp: () => this.step(FAR_SLICES), PageDown: () => this.step(-FAR_SLICES),
      a: () => look(2), c: () => look(1), s: () => look(0),
      1: () => show(0), 2: () => show(1), v: nextView,
      n: () => this.nextFinding(), d: () => this.buttons.differ.hidden || this.toggleDifferences(), o: () => this.toggleOutline(), m: () => this.toggleRuler(),
      "+": () => this.zoom(ZOOM), "=": () => this.zoom(ZOOM), "-": () => this.zoom(1 / ZOOM),
      r: () => this.reset(), p: () => this.play(), i: () => this.picture(),
      f: () => this.fullScreen(), "?": () => this.toggleHelp(),
    }
    const action = actions[event.key] ?? actions[event.key.toLowerCase()]
    if (!action) return
    const moves = typing instanceof HTMLInputElement && typing.type !== "checkbox"
    if (event.key.length > 1 && moves) return // a slider or a choice that moves by itself
    event.preventDefault()
    event.stopPropagation()
    action()
  }
}
