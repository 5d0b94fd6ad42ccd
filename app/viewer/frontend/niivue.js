// The parts of NiiVue that it calls internal, or does not document: here and nowhere else, so that
// whoever takes another version of it has one file to look through. tests/app/viewer/niivue.test.mjs
// fails when one of them is gone, and when another file touches one.

import { PLATE_RGBA, plateOf } from "./plates.js"

/** @typedef {import("@niivue/niivue").Niivue} Niivue */
/** @typedef {import("./types.js").Bytes} Bytes */
/** @typedef {import("./types.js").Triple} Triple */
/** @typedef {[number, number, number, number]} Pan x, y and z in mm, and the zoom */

/** What is used, and why the documented parts do not do. */
export const PRIVATE = {
  methods: {
    calculateWidthHeight: "how much of its pane a plane takes: all of it",
    createOnLocationChange: "tells of a crosshair that was set without NiiVue's own pointer",
    draw2DMain: "which pane is drawn, while its field of view is asked for",
    drawImage3D: "the pane in space, cast anew only when it would look different",
    drawRect: "the plates behind the letters",
    drawScene: "every change ends in it: taken over to draw once a frame",
    drawText: "a letter on its plate",
    drawTextAbove: "the letter at a picture's lower edge",
    drawTextBelow: "the letter at a picture's upper edge",
    drawTextLeft: "the letter at a picture's right edge",
    drawTextRight: "the letter at a picture's left edge",
    frac2mm: "the crosshair in mm: NiiVue keeps it as shares of the scan",
    frac2vox: "the crosshair's voxel",
    mm2frac: "a place in mm as NiiVue keeps the crosshair",
    refreshLayers: "another window, without sending the mask to the graphics card as well; and two passes over all voxels less",
    rgbaTex: "an empty picture for the labels, and none for the gradient that nothing shows",
    resizeListener: "the page's columns change without the window's event",
    screenFieldOfViewExtendedVox: "a plane's field of view, widened to the shape of its pane",
    screenXY2TextureFrac: "where the pen is",
    textWidth: "a letter in the middle of its plate",
    tileIndex: "the pane under the pointer",
    updateInterpolation: "the labels' picture without smoothing",
  },
  fields: {
    fontPx: "the letters' height, which grows with the picture",
    gl: "writing the labels' box alone, what draws, and giving the context back",
    overlayTexture: "where the labels lie on the graphics card",
    overlayTextureID: "the same, by its other name",
    scene: "crosshair, pan, zoom, turn and cut, to be read and set without moving the pointer",
    screenSlices: "which plane each pane cuts, and how large it is",
  },
}

/**
 * Draw through `scene` and, for the pane in space, `space`; gives what NiiVue itself does.
 * @param {Niivue} nv
 * @param {{ scene: () => void, space: (pose: any[]) => void }} instead
 */
export function takeOverDrawing(nv, { scene, space }) {
  const draw = nv.drawScene.bind(nv)
  const cast = nv.drawImage3D.bind(nv)
  nv.drawScene = () => scene()
  nv.drawImage3D = (...pose) => space(pose)
  /** @param {any[]} pose */
  const castAt = ([matrix, azimuth, elevation]) => cast(matrix, azimuth, elevation)
  return { draw, cast: castAt }
}

/**
 * NiiVue takes the keyboard at each click: without this the browser would also scroll the whole
 * picture into view, under the pointer.
 * @param {HTMLCanvasElement} canvas
 */
export function focusInPlace(canvas) {
  const focus = canvas.focus.bind(canvas)
  canvas.focus = () => focus({ preventScroll: true })
}

/** @param {Niivue} nv */
export function redraw(nv) {
  nv.drawScene()
}

/**
 * Have each letter of the sides drawn on a plate.
 * @param {Niivue} nv
 */
export function plateLetters(nv) {
  /** @param {"drawTextRight" | "drawTextLeft" | "drawTextBelow" | "drawTextAbove"} side */
  const plated = (side) => {
    const draw = nv[side].bind(nv)
    nv[side] = (point, words, ...more) => {
      if (words.length !== 1) return draw(point, words, ...more)
      const fontPx = nv["fontPx"] // as NiiVue's own types call it private
      const { plate, letter } = plateOf(side, [point[0], point[1]], { scale: window.devicePixelRatio,
        fontPx, letterPx: nv.textWidth(fontPx, words) })
      nv.drawRect(plate, PLATE_RGBA)
      nv.drawText(letter, words)
    }
  }
  plated("drawTextRight")
  plated("drawTextLeft")
  plated("drawTextBelow")
  plated("drawTextAbove")
}

/**
 * The crosshair: its voxel and its place in mm.
 * @param {Niivue} nv
 * @returns {{ voxel: Triple, mm: Triple }}
 */
export function crosshair(nv) {
  const { crosshairPos } = nv.scene
  const [x, y, z] = Array.from(nv.frac2vox(crosshairPos), Math.round)
  const [r, a, s] = nv.frac2mm(crosshairPos, 0, true)
  return { voxel: [x, y, z], mm: [r, a, s] }
}

/**
 * Set the crosshair; nothing is drawn and nobody told.
 * @param {Niivue} nv
 * @param {Triple} mm
 */
export function setCrosshair(nv, mm) {
  nv.scene.crosshairPos = nv.mm2frac(mm, 0, true)
}

/** @param {Niivue} nv */
export function tellOfCrosshair(nv) {
  nv.createOnLocationChange()
}

/**
 * A place in mm as shares of the scan along its axes.
 * @param {Niivue} nv
 * @param {Triple} mm
 * @returns {number[]}
 */
export function shareOf(nv, mm) {
  return Array.from(nv.mm2frac(mm, 0, true))
}

/**
 * @param {Niivue} nv
 * @returns {Pan}
 */
export function panOf(nv) {
  const [x, y, z, zoom] = nv.scene.pan2Dxyzmm
  return [x, y, z, zoom]
}

/**
 * A place in the frame that pan and zoom count in: mm along the scan's own axes.
 * @param {Niivue} nv
 * @param {[number, number, number]} share of the scan
 * @returns {Triple}
 */
export function placeOf(nv, share) {
  const [x, y, z] = nv.frac2mm(share)
  return [x, y, z]
}

/**
 * Have each of several panes filled; beyond the scan's own edges it is black.
 * @param {Niivue} nv
 */
export function fillPanes(nv) {
  const draw = nv.draw2DMain.bind(nv)
  const fieldOf = nv.screenFieldOfViewExtendedVox.bind(nv)
  /** @type {number[] | null} the pane that is being drawn */
  let pane = null
  nv.calculateWidthHeight = (plane, scale, width, height) => [width, height]
  nv.draw2DMain = (place, ...more) => {
    pane = place
    draw(place, ...more)
    pane = null
  }
  nv.screenFieldOfViewExtendedVox = (plane) => {
    const field = fieldOf(plane)
    const [, , width, height] = pane ?? [0, 0, 0, 0]
    if (!width || !height) return field // the one that takes the whole canvas
    const perMm = Math.min(width / field.fovMM[0], height / field.fovMM[1])
    for (const [axis, px] of [width, height].entries()) {
      const more = (px / perMm - field.fovMM[axis]) / 2
      field.mnMM[axis] -= more
      field.mxMM[axis] += more
      field.fovMM[axis] += 2 * more
    }
    return field
  }
}

/**
 * Turn and pan as another one's.
 * @param {Niivue} nv
 * @param {Niivue} other
 */
export function poseLike(nv, other) {
  nv.scene.pan2Dxyzmm = panOf(other)
  nv.scene.renderAzimuth = other.scene.renderAzimuth
  nv.scene.renderElevation = other.scene.renderElevation
}

/** @param {Niivue} nv */
export function cutsOf(nv) {
  return nv.scene.clipPlanes
}

/**
 * The pane under a point of the canvas, in its pixels; null between them, and in space.
 * @param {Niivue} nv
 * @param {number} x
 * @param {number} y
 */
export function paneAt(nv, x, y) {
  const tile = nv.tileIndex(x, y)
  const pane = nv.screenSlices[tile]
  const axis = pane && [2, 1, 0][pane.axCorSag]
  if (axis === undefined) return null
  const share = Array.from(nv.screenXY2TextureFrac(x, y, tile))
  const pixelsPerMm = Math.abs(pane.leftTopWidthHeight[2] / pane.fovMM[0])
  return { axis, share, pixelsPerMm }
}

/**
 * The panes of slices as they were drawn: which axis each cuts, its left, top, width and height in
 * pixels of the canvas, and where a place is in it.
 * @param {Niivue} nv
 */
export function panesOf(nv) {
  return nv.screenSlices.flatMap((pane) => {
    const axis = [2, 1, 0][pane.axCorSag]
    if (axis === undefined) return []
    const place = pane.leftTopWidthHeight
    const across = [0, 1, 2].filter((other) => other !== axis)
    /** @param {Triple} share of the scan */
    const at = (share) => {
      const mm = placeOf(nv, share)
      const [x, y] = across.map((other, i) => (mm[other] - pane.leftTopMM[i]) / pane.fovMM[i])
      return [place[0] + x * place[2], place[1] + (1 - y) * place[3]]
    }
    return [{ axis, place, at }]
  })
}

/**
 * The pane that was drawn last: left, top, width and height in pixels of the canvas.
 * @param {Niivue} nv
 */
export function lastPane(nv) {
  return nv.screenSlices[nv.screenSlices.length - 1].leftTopWidthHeight
}

/**
 * The scan in the window that it has now.
 * @param {Niivue} nv
 */
export function refreshScan(nv) {
  nv.refreshLayers(nv.volumes[0], 0)
}

/**
 * Send a scan and its labels to the graphics card with two passes over all voxels less: NiiVue also
 * blurs the scan and takes its gradient, which only its lit surfaces show, and colours the labels of
 * the whole volume, of which a box holds any.
 * @param {Niivue} nv
 * @param {() => void} writeLabels writes that box (`writeOverlay`) into an empty picture
 */
export function lightenLayers(nv, writeLabels) {
  const refresh = nv.refreshLayers.bind(nv)
  const textureOf = nv.rgbaTex.bind(nv)
  nv.refreshLayers = (image, layer) => {
    if (layer === 1) {
      const size = /** @type {number[]} */ (nv.volumes[0].dimsRAS)
      nv.overlayTexture = textureOf(nv.overlayTexture, nv.gl.TEXTURE2, size)
      nv.overlayTextureID = nv.overlayTexture
      nv.updateInterpolation(1)
      return writeLabels()
    }
    const { dims } = /** @type {{ dims: number[] }} */ (image.hdr)
    const whole = [...dims]
    // The gradient alone is made as large as the file's header says: then one voxel is enough.
    nv.rgbaTex = (texture, unit, size, ...more) => {
      if (size === dims) dims.fill(1, 1, 4)
      return textureOf(texture, unit, size, ...more)
    }
    try {
      refresh(image, layer)
    } finally {
      nv.rgbaTex = textureOf
      dims.splice(0, dims.length, ...whole)
    }
  }
}

/** @param {Niivue} nv */
export function resize(nv) {
  nv.resizeListener()
}

/**
 * Write a box of the labels' picture on the graphics card.
 * @param {Niivue} nv
 * @param {number[]} first voxel
 * @param {number[]} size in voxels
 * @param {Bytes} rgba
 */
export function writeOverlay(nv, [x, y, z], [width, height, depth], rgba) {
  const { gl } = nv
  gl.activeTexture(gl.TEXTURE2) // NiiVue's place for what lies over the scan
  gl.bindTexture(gl.TEXTURE_3D, nv.overlayTexture)
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1)
  gl.texSubImage3D(gl.TEXTURE_3D, 0, x, y, z, width, height, depth, gl.RGBA, gl.UNSIGNED_BYTE, rgba)
}

/**
 * Whether there is no graphics card behind it.
 * @param {Niivue} nv
 */
export function isDrawnBySoftware({ gl }) {
  const info = gl.getExtension("WEBGL_debug_renderer_info")
  const name = gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER)
  return /swiftshader|llvmpipe|software|basic render/i.test(String(name))
}

/** @param {Niivue} nv */
export function finish(nv) {
  nv.gl.finish()
}

/**
 * Give the graphics back: browsers allow few WebGL contexts at once.
 * @param {Niivue} nv
 */
export function release(nv) {
  nv.cleanup()
  nv.gl?.getExtension("WEBGL_lose_context")?.loseContext()
}
