// A canvas in which NiiVue shows a scan and labels over it: what the viewers ask of NiiVue.

import {
  DRAG_MODE, MULTIPLANAR_TYPE, NVImage, Niivue, SHOW_RENDER, SLICE_TYPE,
} from "@niivue/niivue"
import * as inside from "./niivue.js"
import { boxOf, coloured, union } from "./overlay.js"
import { Painter } from "./painter.js"
import { mmPerPixel, zoomed } from "./view.js"

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
    /** @type {Ends} the box of the picture that holds labels now */
    this.box = [[], []]
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
      loadingText: "", multiplanarLayout: MULTIPLANAR_TYPE.GRID,
      multiplanarShowRender: SHOW_RENDER.ALWAYS, multiplanarPadPixels: 10, tileMargin: 0,
      viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "",
      dragMode: DRAG_MODE.windowing, rulerWidth: 2, renderOverlayBlend: 1,
    })
    inside.focusInPlace(canvas)
    await nv.attachToCanvas(canvas)
    inside.plateLetters(nv)
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
    nv.setVolume(mask, 1)
    this.box = boxOf(this.picture, this.dims)
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
    nv.volumes[1].opacity = opacity // for when NiiVue makes the whole anew, as after a resize
    const now = boxOf(picture, dims)
    const box = union(this.box, now)
    this.box = now
    painter.changes++
    if (box[0][0] <= box[1][0]) {
      const { size, rgba } = coloured(picture, dims, box, colours, opacity)
      inside.writeOverlay(nv, box[0], size, rgba)
    }
    inside.redraw(nv)
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

  /** Pixels of the canvas for one of the page. */
  get scale() {
    return this.canvas.width / this.canvas.clientWidth
  }

  // How it is looked at

  /** @param {string} name of the view */
  setView(name) {
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
    this.nv.setPan2Dxyzmm(zoomed(inside.panOf(this.nv), factor))
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
    if (nv.opts.sliceType !== first.nv.opts.sliceType) nv.setSliceType(first.nv.opts.sliceType)
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

  /** Fit the canvas again. */
  resize() {
    inside.resize(this.nv)
  }

  close() {
    this.painter.stop()
    inside.release(this.nv)
  }
}

/**
 * The voxel at a place that is given in shares of the scan, or the nearest one.
 * @param {number[]} share
 * @param {number[]} dims
 * @returns {Triple}
 */
export function voxelOfShare(share, dims) {
  const [x, y, z] = share.map((part, axis) =>
    Math.min(dims[axis] - 1, Math.max(0, Math.round(part * dims[axis] - 0.5))))
  return [x, y, z]
}

/**
 * @param {Colours} colours
 */
function colourTable(colours) {
  const of = (/** @type {number} */ channel) =>
    [0, ...Array.from(colours.values(), (rgb) => rgb[channel])]
  return {
    R: of(0), G: of(1), B: of(2), A: [0, ...Array.from(colours, () => 255)],
    I: [0, ...colours.keys()], labels: [],
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
