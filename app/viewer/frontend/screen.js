// A canvas in which NiiVue shows a scan and labels over it: what the viewers ask of NiiVue.

import {
  DRAG_MODE, NVImage, Niivue, SLICE_TYPE,
} from "@niivue/niivue"
import * as inside from "./niivue.js"
import { boxOf, colourTable, coloured, union } from "./overlay.js"
import { Painter } from "./painter.js"
import { closeUp, mmPerPixel, voxelOfShare, zoomed } from "./view.js"

/** @typedef {import("./types.js").Bytes} Bytes */
/** @typedef {import("./types.js").Rgb} Rgb */
/** @typedef {import("./types.js").Triple} Triple */
/** @typedef {import("./overlay.js").Ends} Ends */
/** @typedef {ReadonlyMap<number, Rgb>} Colours */
/** @typedef {[NVImage, NVImage]} Volumes the scan and its mask, both in RAS order */

/** @type {Record<string, number>} */
const SLICE_TYPES = {
  All: SLICE_TYPE.MULTIPLANAR,
  Axial: SLICE_TYPE.AXIAL,
  Coronal: SLICE_TYPE.CORONAL,
  Sagittal: SLICE_TYPE.SAGITTAL,
  "3-D": SLICE_TYPE.RENDER,
}
const HALF = 0.4975 // of the canvas, with a gap
/** @type {{ sliceType: number, position: [number, number, number, number] }[]} where each pane is; that in space is last */
const PANES = [
  { sliceType: SLICE_TYPE.CORONAL, position: [0, 0, HALF, HALF] },
  { sliceType: SLICE_TYPE.SAGITTAL, position: [1 - HALF, 0, HALF, HALF] },
  { sliceType: SLICE_TYPE.AXIAL, position: [0, 1 - HALF, HALF, HALF] },
  { sliceType: SLICE_TYPE.RENDER, position: [1 - HALF, 1 - HALF, HALF, HALF] },
]
const AROUND_MM = 12 // what a close-up shows beside the labels
const FROM_LEFT = [270, 0] // azimuth and elevation of the plane that cuts the scan open in 3-D
const NO_CUT = [2, 0, 0]
/** @type {[number, number, number, number]} */
const AT_FIRST = [0, 0, 0, 1]
const CROSSHAIR_PX = 1.4
const FONT_PX = 20

/**
 * The scan and one version of its mask, not yet shown.
 * @param {string} files the case's link
 * @param {number} version
 * @returns {Promise<Volumes>}
 */
export function fetchVolumes(files, version) {
  return Promise.all([
    NVImage.loadFromUrl({ url: `${files}/scan.nii.gz`, name: "scan.nii.gz", colormap: "gray" }),
    NVImage.loadFromUrl({ url: `${files}/masks/${version}.nii.gz`, name: "mask.nii.gz" }),
  ])
}

export class Screen {
  /**
   * @param {Niivue} nv attached to a canvas
   * @param {HTMLCanvasElement} canvas
   */
  constructor(nv, canvas) {
    this.nv = nv
    this.canvas = canvas
    this.painter = new Painter(nv)
    this.near = "" // pan and zoom as `closeUp` left them
    /** @type {Ends} the box of the picture that holds labels now */
    this.box = [[], []]
    /** @type {Colours} */
    this.colours = new Map()
    inside.lightenLayers(nv, () => this.writeBox(this.box))
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {number[]} letters the colour of the sides' letters
   */
  static async open(canvas, letters) {
    const nv = new Niivue({
      backColor: [0, 0, 0, 1], fontColor: letters, fontMinPx: FONT_PX,
      showAllOrientationMarkers: true, isOrientCube: false,
      crosshairColor: [1, 1, 1, 0.7], crosshairWidth: 1, crosshairWidthUnit: "mm",
      crosshairGap: 2, show3Dcrosshair: false,
      isForceMouseClickToVoxelCenters: true,
      isNearestInterpolation: true, dragAndDropEnabled: false, logLevel: "error",
      loadingText: "",
      viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "",
      dragMode: DRAG_MODE.windowing, rulerWidth: 2, renderOverlayBlend: 1,
    })
    inside.focusInPlace(canvas)
    await nv.attachToCanvas(canvas)
    inside.plateLetters(nv)
    inside.fillPanes(nv)
    return new Screen(nv, canvas)
  }

  /**
   * Show a scan and its mask: set up first, so that each goes to the graphics card once.
   * @param {Volumes} volumes
   * @param {{ low: number, high: number }} window
   * @param {{ isRadiological: boolean, colours: Colours, opacity: number }} how
   */
  put([scan, mask], { low, high }, { isRadiological, colours, opacity }) {
    const { nv } = this
    // Not before: what loadFromUrl is given NiiVue replaces by a range of its own.
    Object.assign(scan, { cal_min: low, cal_max: high })
    nv.opts.isRadiologicalConvention = isRadiological
    mask.setColormapLabel(colourTable(colours))
    mask.opacity = opacity
    nv.volumes = [scan, mask]
    this.colours = colours
    this.box = boxOf(this.picture, this.dims)
    nv.setVolume(mask, 1)
  }

  /** Whether it shows anything yet. */
  get isFilled() {
    return this.nv.volumes.length > 0
  }

  /** The labels that it shows, to be written into before `show`. */
  get picture() {
    return /** @type {Bytes} */ (this.nv.volumes[1].img)
  }

  get intensities() {
    return /** @type {ArrayLike<number>} */ (this.nv.volumes[0].img)
  }

  /** Voxels along R, A, S. */
  get dims() {
    return triple(this.nv.volumes[0].dimsRAS)
  }

  /** Their edges in mm. */
  get spacing() {
    return triple(this.nv.volumes[0].pixDimsRAS)
  }

  /**
   * Show what `picture` holds now.
   * @param {Colours} colours of its values
   * @param {number} opacity 0 to 1
   */
  show(colours, opacity) {
    const { nv, picture, dims, painter } = this
    nv.volumes[1].opacity = opacity
    this.colours = colours
    const now = boxOf(picture, dims)
    const box = union(this.box, now)
    this.box = now
    painter.changes++
    this.writeBox(box)
    inside.redraw(nv)
  }

  /**
   * Send a box of the labels to the graphics card.
   * @param {Ends} box
   */
  writeBox(box) {
    const { nv, picture, dims, colours } = this
    if (box[0][0] > box[1][0]) return
    const { size, rgba } = coloured(picture, dims, box, colours, nv.volumes[1].opacity)
    inside.writeOverlay(nv, box[0], size, rgba)
  }

  // Where the crosshair is

  /** @returns {Triple} */
  get voxel() {
    return inside.crosshair(this.nv).voxel
  }

  /** @returns {Triple} */
  get mm() {
    return inside.crosshair(this.nv).mm
  }

  /**
   * Move the crosshair to a voxel.
   * @param {Triple} voxel
   */
  goTo(voxel) {
    const now = this.voxel
    const [x, y, z] = voxel.map((n, axis) => n - now[axis])
    this.nv.moveCrosshairInVox(x, y, z)
  }

  /**
   * The voxel at a place, or the nearest one of the scan.
   * @param {Triple} mm
   */
  voxelAt(mm) {
    return voxelOfShare(inside.shareOf(this.nv, mm), this.dims)
  }

  /** @param {(moved: { mm: Triple, value: number | undefined }) => void} act */
  onMove(act) {
    this.nv.onLocationChange = (location) => {
      const { mm, values } = /** @type {import("@niivue/niivue").NiiVueLocation} */ (location)
      act({ mm: [mm[0], mm[1], mm[2]], value: values?.[0]?.value })
    }
  }

  /**
   * The pane under a pointer, the point in voxels and the pane's scale; null outside the panes.
   * @param {{ clientX: number, clientY: number }} event
   */
  paneAt({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect()
    const { scale } = this
    const pane = inside.paneAt(this.nv, (clientX - box.left) * scale, (clientY - box.top) * scale)
    if (!pane) return null
    const { axis, share, pixelsPerMm } = pane
    const point = share[0] < 0 ? null : this.dims.map((n, w) => share[w] * n - 0.5)
    return { axis, point, pxPerMm: pixelsPerMm / scale }
  }

  /** The panes of slices, in pixels of the page from the canvas's corner; `at` is of a point in voxels. */
  panes() {
    const { scale, dims } = this
    return inside.panesOf(this.nv).map(({ axis, place, at }) => {
      const [left, top, width, height] = place.map((px) => px / scale)
      /** @param {Triple} point */
      const onPage = (point) => {
        const [x, y, z] = point.map((n, w) => (n + 0.5) / dims[w])
        return at([x, y, z]).map((px) => px / scale)
      }
      return { axis, left, top, right: left + width, bottom: top + height, at: onPage }
    })
  }

  /** @param {() => void} act after each picture */
  onDraw(act) {
    this.painter.onDraw = act
  }

  /** Pixels of the canvas for one of the page. */
  get scale() {
    return this.canvas.width / this.canvas.clientWidth
  }

  // How it is looked at

  /** @param {string} name of the view */
  setView(name) {
    if (name === "All") this.nv.setCustomLayout(PANES)
    else this.nv.clearCustomLayout()
    this.nv.setSliceType(SLICE_TYPES[name])
    this.thin(name)
  }

  /**
   * The crosshair as thin as a line on the screen, whatever the view shows.
   * @param {string} name of the view
   */
  thin(name) {
    const { spacing, canvas } = this
    const extent = this.dims.map((n, axis) => n * spacing[axis])
    const zoom = inside.panOf(this.nv)[3]
    this.nv.setCrosshairWidth(CROSSHAIR_PX * this.scale * mmPerPixel(name, extent, canvas, zoom))
  }

  /** @param {boolean} isRadiological */
  setConvention(isRadiological) {
    this.nv.opts.isRadiologicalConvention = isRadiological
    inside.redraw(this.nv)
  }

  /** @param {{ low: number, high: number }} window */
  setWindow({ low, high }) {
    Object.assign(this.nv.volumes[0], { cal_min: low, cal_max: high })
    inside.refreshScan(this.nv)
    inside.redraw(this.nv)
  }

  /** @param {number} percent of the scan, cut away from the left */
  setCut(percent) {
    this.nv.setClipPlane(percent ? [0.5 - percent / 100, ...FROM_LEFT] : NO_CUT)
  }

  /** @param {number} factor */
  zoom(factor) {
    const at = this.place(this.voxel)
    this.nv.setPan2Dxyzmm(zoomed(inside.panOf(this.nv), factor, at))
  }

  /** Show what is labelled, large, in all planes. */
  closeUp() {
    const { dims, spacing, canvas, box: [low, high] } = this
    if (!low.length || low[0] > high[0]) return
    const scan = { extent: dims.map((n, axis) => n * spacing[axis]), middle: this.place(dims.map((n) => (n - 1) / 2)) }
    const box = { extent: low.map((n, axis) => (high[axis] - n + 1) * spacing[axis] + 2 * AROUND_MM),
      middle: this.place(low.map((n, axis) => (n + high[axis]) / 2)) }
    this.nv.setPan2Dxyzmm(closeUp(scan, box, canvas))
    this.near = String(inside.panOf(this.nv))
  }

  /**
   * Where a voxel is for pan and zoom.
   * @param {number[]} voxel
   */
  place(voxel) {
    const [x, y, z] = voxel.map((n, axis) => (n + 0.5) / this.dims[axis])
    return inside.placeOf(this.nv, [x, y, z])
  }

  resetPan() {
    this.nv.setPan2Dxyzmm(AT_FIRST)
  }

  /** @param {boolean} isMeasuring whether the left button draws a ruler */
  setMouse(isMeasuring) {
    this.nv.setMouseEventConfig({
      leftButton: {
        primary: isMeasuring ? DRAG_MODE.measurement : DRAG_MODE.crosshair,
        withShift: DRAG_MODE.pan,
      },
      rightButton: DRAG_MODE.windowing, centerButton: DRAG_MODE.pan,
    })
  }

  clearRulers() {
    this.nv.clearAllMeasurements()
  }

  /**
   * Show the same place in mm as another one, in the same view.
   * @param {Screen} first
   * @param {boolean} isRadiological
   */
  follow(first, isRadiological) {
    const { nv } = this
    nv.opts.isRadiologicalConvention = isRadiological
    const panes = first.nv.getCustomLayout()?.length // none at first, as an empty list
    if (nv.opts.sliceType !== first.nv.opts.sliceType || !nv.getCustomLayout()?.length !== !panes) {
      if (panes) nv.setCustomLayout(PANES)
      else nv.clearCustomLayout()
      nv.setSliceType(first.nv.opts.sliceType)
    }
    inside.setCrosshair(nv, first.mm)
    inside.poseLike(nv, first.nv)
    nv.setCrosshairWidth(first.nv.opts.crosshairWidth)
    inside.redraw(nv)
  }

  /**
   * Move the crosshair to a place in mm, and tell of it as if it had been clicked.
   * @param {Triple} mm
   */
  goToMm(mm) {
    inside.setCrosshair(this.nv, mm)
    inside.redraw(this.nv)
    inside.tellOfCrosshair(this.nv)
  }

  // When it draws

  /** Draw nothing until `letGo`. */
  hold() {
    this.painter.held = true
  }

  /** Draw, and wait for the graphics card. */
  letGo() {
    this.painter.held = false
    this.painter.now()
    inside.finish(this.nv)
  }

  /** Fit the canvas again; what was shown large, and not moved since, is shown large again. */
  resize() {
    const isNear = this.near === String(inside.panOf(this.nv))
    inside.resize(this.nv)
    if (isNear) this.closeUp()
  }

  close() {
    this.painter.stop()
    inside.release(this.nv)
  }
}

/**
 * Of a field of NIfTI's kind, which begins with the number of axes.
 * @param {number[] | undefined} field
 * @returns {Triple}
 */
function triple(field) {
  if (!field) throw new Error("the volume has no geometry")
  return [field[1], field[2], field[3]]
}
