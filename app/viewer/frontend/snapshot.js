// A picture of what is shown, as a file, with a line below it that says what it is.

import { element } from "./common.js"

const BANNER_PX = 34
const FONT_PX = 13
const EDGE_PX = 8

/**
 * @param {HTMLCanvasElement} canvas just drawn: WebGL forgets what it drew once it is shown
 * @param {string} name of the file
 * @param {string} words
 */
export function savePicture(canvas, name, words) {
  const { width, height } = canvas
  const scale = width / canvas.clientWidth
  const band = BANNER_PX * scale
  const out = element("canvas", { width, height: height + band })
  const pen = out.getContext("2d")
  if (!pen) return
  pen.drawImage(canvas, 0, 0)
  pen.fillStyle = "#fff"
  pen.font = `${FONT_PX * scale}px sans-serif`
  pen.textBaseline = "middle"
  pen.fillText(words, EDGE_PX * scale, height + band / 2, width - 2 * EDGE_PX * scale)
  element("a", { download: name, href: out.toDataURL("image/png") }).click()
}
