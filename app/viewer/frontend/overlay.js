// The picture of the labels on the graphics card. NiiVue makes it anew of the whole volume at each
// change, which takes a second for a head without a GPU; here the box that holds labels is written.

const CHANNELS = 4

export class Overlay {
  /** Of a NiiVue that has the scan and the mask as its first and second volume, both in RAS order. */
  constructor(painter) {
    const { nv } = painter
    this.painter = painter
    this.nv = nv
    this.box = boxOf(nv.volumes[1].img, nv.volumes[0].dimsRAS.slice(1, 4))
  }

  /**
   * Show what the second volume's `img` holds now.
   * `colours`: a Map of values to [red, green, blue], 0 to 255. `opacity`: 0 to 1.
   */
  show(colours, opacity) {
    const { nv } = this
    const { gl } = nv
    const { img } = nv.volumes[1]
    const dims = nv.volumes[0].dimsRAS.slice(1, 4)
    nv.volumes[1].opacity = opacity // for when NiiVue makes the whole anew, as after a resize
    const now = boxOf(img, dims)
    const [low, high] = union(this.box, now)
    this.box = now
    this.painter.changes++
    if (low[0] > high[0]) return nv.drawScene()
    const table = new Uint8Array(256 * CHANNELS)
    for (const [value, rgb] of colours) table.set([...rgb, Math.round(255 * opacity)], CHANNELS * value)
    const size = low.map((first, axis) => high[axis] - first + 1)
    const bytes = new Uint8Array(size[0] * size[1] * size[2] * CHANNELS)
    let to = 0
    for (let z = low[2]; z <= high[2]; z++) for (let y = low[1]; y <= high[1]; y++) {
      let from = low[0] + dims[0] * (y + dims[1] * z)
      for (let x = low[0]; x <= high[0]; x++, from++, to += CHANNELS) {
        if (!img[from]) continue
        const entry = CHANNELS * img[from]
        for (let channel = 0; channel < CHANNELS; channel++) bytes[to + channel] = table[entry + channel]
      }
    }
    gl.activeTexture(gl.TEXTURE2) // NiiVue's place for what lies over the scan
    gl.bindTexture(gl.TEXTURE_3D, nv.overlayTexture)
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1)
    gl.texSubImage3D(gl.TEXTURE_3D, 0, ...low, ...size, gl.RGBA, gl.UNSIGNED_BYTE, bytes)
    nv.drawScene()
  }
}

/** First and last voxel of the box that holds all that is not 0. */
function boxOf(values, [nx, ny, nz]) {
  const low = [nx, ny, nz]
  const high = [-1, -1, -1]
  let row = 0
  for (let z = 0; z < nz; z++) for (let y = 0; y < ny; y++, row += nx) {
    let first = row
    while (first < row + nx && !values[first]) first++
    if (first === row + nx) continue
    let last = row + nx - 1
    while (!values[last]) last--
    low[0] = Math.min(low[0], first - row)
    high[0] = Math.max(high[0], last - row)
    low[1] = Math.min(low[1], y)
    high[1] = Math.max(high[1], y)
    low[2] = Math.min(low[2], z)
    high[2] = z
  }
  return [low, high]
}

function union(a, b) {
  return [a[0].map((n, axis) => Math.min(n, b[0][axis])), a[1].map((n, axis) => Math.max(n, b[1][axis]))]
}
