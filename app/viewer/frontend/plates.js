// Where the letters of the sides stand: NiiVue draws them thin, and on the picture's very edge. Here
// each stands on a dark plate, a little within the picture.

const GAP_PX = 4 // to the edge
const PLATE_PX = 26
const PLATE_SHARE = 1.3 // of the letters' height, which grows with the picture
const RISE_SHARE = 0.6 // of it, from the plate's middle to where NiiVue begins a letter
export const PLATE_RGBA = [0, 0, 0, 0.9] // the letters' colour is read on it whatever lies below

/** @typedef {[number, number]} Point */

/**
 * The plate's left top corner by where NiiVue's letter would be: at the edge of that name's side.
 * @type {Record<string, (point: Point, gap: number, size: number) => Point>}
 */
const CORNERS = {
  drawTextRight: ([x, y], gap, size) => [x + gap, y - size / 2],
  drawTextLeft: ([x, y], gap, size) => [x - gap - size, y - size / 2],
  drawTextBelow: ([x, y], gap, size) => [x - size / 2, y + gap],
  drawTextAbove: ([x, y], gap, size) => [x - size / 2, y - gap - size],
}

/**
 * A letter's plate and where the letter itself begins, in pixels of the canvas.
 * @param {string} side the name of NiiVue's method
 * @param {Point} point that it is given
 * @param {{ scale: number, fontPx: number, letterPx: number }} sizes
 *   pixels of the canvas for one of the page; the letters' height; this letter's width
 */
export function plateOf(side, point, { scale, fontPx, letterPx }) {
  const [gap, size] = [GAP_PX * scale, Math.max(PLATE_PX * scale, PLATE_SHARE * fontPx)]
  const [left, top] = CORNERS[side](point, gap, size)
  return {
    plate: [left, top, size, size],
    letter: [left + (size - letterPx) / 2, top + size / 2 - RISE_SHARE * fontPx],
  }
}
