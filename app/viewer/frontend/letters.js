// The letters of the sides: NiiVue draws them thin, and on the picture's very edge.

const GAP_PX = 4 // to the edge
const PLATE_PX = 26
const PLATE_SHARE = 1.3 // of the letters' height, which grows with the picture
const RISE_SHARE = 0.6 // of it, from the plate's middle to where NiiVue begins a letter
const PLATE_RGBA = [0, 0, 0, 0.9] // the letters' colour is read on it whatever lies below

/** Have a NiiVue draw each letter on a dark plate, a little within the picture. */
export function plateLetters(nv) {
  const drawn = (name, corner) => {
    const draw = nv[name].bind(nv)
    nv[name] = (point, words, ...more) => {
      if (words.length !== 1) return draw(point, words, ...more)
      const scale = window.devicePixelRatio
      const [gap, size] = [GAP_PX * scale, Math.max(PLATE_PX * scale, PLATE_SHARE * nv.fontPx)]
      const [left, top] = corner(point, gap, size)
      nv.drawRect([left, top, size, size], PLATE_RGBA)
      nv.drawText([left + (size - nv.textWidth(nv.fontPx, words)) / 2,
        top + size / 2 - RISE_SHARE * nv.fontPx], words)
    }
  }
  drawn("drawTextRight", ([x, y], gap, size) => [x + gap, y - size / 2])
  drawn("drawTextLeft", ([x, y], gap, size) => [x - gap - size, y - size / 2])
  drawn("drawTextBelow", ([x, y], gap, size) => [x - size / 2, y + gap])
  drawn("drawTextAbove", ([x, y], gap, size) => [x - size / 2, y - gap - size])
}
