// A grid of labels that is drawn on: pen, fill, growing, cleaning, undo and redo. No page, no canvas.
// Voxels are numbered with the first axis (R) fastest; all distances are in mm.

/** @typedef {import("./types.js").Bytes} Bytes */
/** @typedef {import("./types.js").Triple} Triple */
/** @typedef {(index: number) => boolean} Belongs */
/** @typedef {(label: number) => boolean} Admits which labels may be changed */
/** @typedef {{ indices: Uint32Array, before: Uint8Array, after: Uint8Array }} Step of the history */

const MOST_STEPS = 200
const FACES = 6

export class Labels {
  /**
   * @param {Bytes} values labels
   * @param {number[]} dims voxels along R, A, S
   * @param {number[]} spacing their edges in mm
   */
  constructor(values, dims, spacing) {
    this.values = values
    this.dims = dims
    this.spacing = spacing
    this.strides = [1, dims[0], dims[0] * dims[1]]
    /** @type {Step[]} */
    this.done = []
    /** @type {Step[]} */
    this.undone = []
    /** @type {Map<number, number> | null} of the step that is being made: what was there before */
    this.open = null
  }

  /** @param {number[]} voxel */
  index([x, y, z]) {
    return x + this.strides[1] * y + this.strides[2] * z
  }

  /**
   * @param {number} index
   * @returns {Triple}
   */
  voxel(index) {
    const [nx, ny] = this.dims
    return [index % nx, Math.floor(index / nx) % ny, Math.floor(index / (nx * ny))]
  }

  /** @param {number} label */
  count(label) {
    let found = 0
    for (let i = 0; i < this.values.length; i++) if (this.values[i] === label) found++
    return found
  }

  // One step of the history: what changed, and what was there before

  begin() {
    this.open = new Map()
  }

  /**
   * @param {number} index
   * @param {number} label
   */
  set(index, label) {
    const before = this.values[index]
    if (before === label) return
    if (!this.open) throw new Error("labels are set within a step: begin one")
    if (!this.open.has(index)) this.open.set(index, before)
    this.values[index] = label
  }

  /** End a step; true if it changed anything. */
  end() {
    const changed = [...this.open ?? []].filter(([index, before]) => this.values[index] !== before)
    this.open = null
    if (!changed.length) return false
    const indices = Uint32Array.from(changed, ([index]) => index)
    const before = Uint8Array.from(changed, ([, label]) => label)
    const after = Uint8Array.from(indices, (index) => this.values[index])
    this.done.push({ indices, before, after })
    if (this.done.length > MOST_STEPS) this.done.shift()
    this.undone = []
    return true
  }

  undo() {
    const step = this.done.pop()
    if (!step) return false
    step.indices.forEach((index, i) => { this.values[index] = step.before[i] })
    this.undone.push(step)
    return true
  }

  redo() {
    const step = this.undone.pop()
    if (!step) return false
    step.indices.forEach((index, i) => { this.values[index] = step.after[i] })
    this.done.push(step)
    return true
  }

  forget() {
    this.done = []
    this.undone = []
    this.open = null
  }

  /**
   * Go on with another grid of the same shape, history included.
   * @param {Labels} other
   */
  takeOver({ values, done, undone }) {
    this.values.set(values)
    Object.assign(this, { done, undone, open: null })
  }

  /**
   * Take over other labels as one step.
   * @param {Uint8Array} values
   */
  replace(values) {
    this.begin()
    for (let i = 0; i < values.length; i++) this.set(i, values[i])
    return this.end()
  }

  // Tools

  /**
   * A disc in a plane; at least the voxel there.
   * @param {number[]} point its middle, in voxels
   * @param {number} axis that the plane cuts
   * @param {number} diameter in mm
   * @param {number} label
   * @param {Admits} admits
   */
  disc(point, axis, diameter, label, admits) {
    const [u, v] = [0, 1, 2].filter((other) => other !== axis)
    const radius = diameter / 2
    const at = point.map(Math.round)
    const reach = (/** @type {number} */ w) => Math.ceil(radius / this.spacing[w])
    for (let i = at[u] - reach(u); i <= at[u] + reach(u); i++) {
      for (let j = at[v] - reach(v); j <= at[v] + reach(v); j++) {
        const du = (i - point[u]) * this.spacing[u]
        const dv = (j - point[v]) * this.spacing[v]
        const inside = du * du + dv * dv <= radius * radius || (i === at[u] && j === at[v])
        if (!inside || i < 0 || j < 0 || i >= this.dims[u] || j >= this.dims[v]) continue
        const voxel = [...at]
        voxel[u] = i
        voxel[v] = j
        const index = this.index(voxel)
        if (admits(this.values[index])) this.set(index, label)
      }
    }
  }

  /**
   * Discs along a line.
   * @param {number[]} from
   * @param {number[]} to
   * @param {number} axis
   * @param {number} diameter in mm
   * @param {number} label
   * @param {Admits} admits
   */
  stroke(from, to, axis, diameter, label, admits) {
    const steps = Math.max(1, ...from.map((f, w) => Math.ceil(2 * Math.abs(to[w] - f))))
    for (let step = 0; step <= steps; step++) {
      const point = from.map((f, w) => f + ((to[w] - f) * step) / steps)
      this.disc(point, axis, diameter, label, admits)
    }
  }

  /**
   * Fill the area of one value in the slice; false if it is open, reaching the slice's edge.
   * @param {number[]} voxel
   * @param {number} axis
   * @param {number} label
   */
  fill(voxel, axis, label) {
    const old = this.values[this.index(voxel)]
    const area = this.grow(this.index(voxel), (index) => this.values[index] === old, axis)
    const edge = area.some((index) => this.voxel(index).some(
      (n, w) => w !== axis && (n === 0 || n === this.dims[w] - 1)))
    if (edge && old === 0) return false
    for (const index of area) this.set(index, label)
    return true
  }

  /**
   * Connected voxels (by faces) that belong, from one on; within one slice if an axis is given.
   * @param {number} start
   * @param {Belongs} belongs
   * @param {number} axis
   */
  grow(start, belongs, axis = -1) {
    const seen = new Set([start])
    const waiting = [start]
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      const voxel = this.voxel(at)
      for (let face = 0; face < FACES; face++) {
        const w = face >> 1
        const n = voxel[w] + (face & 1 ? 1 : -1)
        if (w === axis || n < 0 || n >= this.dims[w]) continue
        const next = this.index(voxel) + (n - voxel[w]) * this.strides[w]
        if (seen.has(next) || !belongs(next)) continue
        seen.add(next)
        waiting.push(next)
      }
    }
    return [...seen]
  }

  /**
   * Voxels like the one at the start: within a distance, and a difference of intensity.
   * @param {number[]} voxel
   * @param {ArrayLike<number>} intensities
   * @param {number} tolerance
   * @param {number} radius in mm
   */
  alike(voxel, intensities, tolerance, radius) {
    const start = this.index(voxel)
    const base = intensities[start]
    return this.grow(start, (index) => {
      if (Math.abs(intensities[index] - base) > tolerance) return false
      const far = this.voxel(index).map((n, w) => (n - voxel[w]) * this.spacing[w])
      return far.reduce((sum, d) => sum + d * d, 0) <= radius * radius
    })
  }

  /**
   * Make a slice as its neighbour is. False at the end of the grid.
   * @param {number} axis
   * @param {number} at
   * @param {number} step 1 or -1
   */
  copySlice(axis, at, step) {
    if (at + step < 0 || at + step >= this.dims[axis]) return false
    for (let index = 0; index < this.values.length; index++) {
      if (Math.floor(index / this.strides[axis]) % this.dims[axis] !== at) continue
      this.set(index, this.values[index + step * this.strides[axis]])
    }
    return true
  }

  /**
   * Drop all but the largest piece of each label, then fill what is enclosed.
   * @param {number[]} labels
   */
  cleanUp(labels) {
    for (const label of labels) {
      const pieces = this.pieces((index) => this.values[index] === label, true)
      const largest = Math.max(0, ...pieces.map((piece) => piece.length))
      let kept = false
      for (const piece of pieces) {
        if (piece.length === largest && !kept) kept = true
        else for (const index of piece) this.set(index, 0)
      }
    }
    const box = this.box()
    if (!box) return
    const inBox = (/** @type {number} */ index) => this.voxel(index).every((n, w) => n >= box[w][0] && n <= box[w][1])
    for (const hole of this.pieces((index) => this.values[index] === 0 && inBox(index), false)) {
      const votes = new Map()
      const open = hole.some((index) => this.voxel(index).some((n, w) => {
        if (n === box[w][0] || n === box[w][1]) return true
        for (const side of [-1, 1]) {
          const label = this.values[index + side * this.strides[w]]
          if (label) votes.set(label, (votes.get(label) ?? 0) + 1)
        }
        return false
      }))
      if (open) continue
      const [[label]] = [...votes].sort((a, b) => b[1] - a[1] || a[0] - b[0])
      for (const index of hole) this.set(index, label)
    }
  }

  /** First and last voxel along each axis of all labels and one more around; null if there is none. */
  box() {
    const box = this.dims.map((n) => [n, -1])
    this.values.forEach((value, index) => {
      if (value) this.voxel(index).forEach((n, w) => {
        box[w] = [Math.min(box[w][0], n), Math.max(box[w][1], n)]
      })
    })
    if (box[0][1] < 0) return null
    return box.map(([first, last], w) => [
      Math.max(0, first - 1), Math.min(this.dims[w] - 1, last + 1)])
  }

  /**
   * Connected pieces of what belongs, over corners as well or by faces only.
   * @param {Belongs} belongs
   * @param {boolean} corners
   */
  pieces(belongs, corners) {
    const seen = new Uint8Array(this.values.length)
    const around = []
    for (const x of [-1, 0, 1]) for (const y of [-1, 0, 1]) for (const z of [-1, 0, 1]) {
      const far = Math.abs(x) + Math.abs(y) + Math.abs(z)
      if (far && (corners || far === 1)) around.push([x, y, z])
    }
    const found = []
    for (let start = 0; start < seen.length; start++) {
      if (seen[start] || !belongs(start)) continue
      const piece = [start]
      seen[start] = 1
      for (let i = 0; i < piece.length; i++) {
        const voxel = this.voxel(piece[i])
        for (const step of around) {
          const to = voxel.map((n, w) => n + step[w])
          if (to.some((n, w) => n < 0 || n >= this.dims[w])) continue
          const next = this.index(to)
          if (seen[next] || !belongs(next)) continue
          seen[next] = 1
          piece.push(next)
        }
      }
      found.push(piece)
    }
    return found
  }
}
