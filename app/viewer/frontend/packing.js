// Labels made small: as runs, as bytes, as gzip; and whether two grids are the same.

/** @typedef {import("./types.js").Bytes} Bytes */

/**
 * Whether two grids hold the same labels; a head has millions, so four are compared at once.
 * @param {Uint8Array} a
 * @param {Uint8Array} b
 */
export function same(a, b) {
  if (a.length !== b.length) return false
  const [left, right] = [wordsOf(a), wordsOf(b)]
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false
  for (let i = 4 * left.length; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** @param {Uint8Array} values */
function wordsOf(values) {
  const { buffer, byteOffset, length } = values.byteOffset % 4 ? values.slice() : values
  return new Uint32Array(buffer, byteOffset, length >> 2)
}

/**
 * Labels as pairs of value and count, small enough for the browser's own storage.
 * @param {Uint8Array} values
 * @returns {number[]}
 */
export function toRuns(values) {
  const words = wordsOf(values)
  const runs = []
  let from = 0
  while (from < values.length) {
    const value = values[from]
    const four = value * 0x01010101
    let to = from + 1
    while (to % 4 && to < values.length && values[to] === value) to++
    if (to % 4 === 0) {
      let word = to / 4
      while (word < words.length && words[word] === four) word++
      to = 4 * word
    }
    while (to < values.length && values[to] === value) to++
    runs.push(value, to - from)
    from = to
  }
  return runs
}

/**
 * Runs as bytes: the value, then the count in groups of 7 bits (see app/viewer/runs.py).
 * @param {number[]} runs
 */
export function packRuns(runs) {
  const bytes = []
  for (let i = 0; i < runs.length; i += 2) {
    bytes.push(runs[i])
    let count = runs[i + 1]
    for (; count > 127; count = Math.floor(count / 128)) bytes.push(128 + count % 128)
    bytes.push(count)
  }
  return Uint8Array.from(bytes)
}

/**
 * Labels again of the pairs of `toRuns`.
 * @param {number[]} runs
 * @returns {Bytes}
 */
export function fromRuns(runs) {
  const lengths = runs.filter((_, i) => i % 2)
  const values = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0))
  let at = 0
  lengths.forEach((length, i) => {
    values.fill(runs[2 * i], at, at + length)
    at += length
  })
  return values
}

/**
 * Labels as gzip.
 * @param {Bytes} values
 * @returns {Promise<Bytes>}
 */
export async function pack(values) {
  const stream = new Blob([values]).stream().pipeThrough(new CompressionStream("gzip"))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

/**
 * Labels again of gzip.
 * @param {Bytes} packed
 * @returns {Promise<Bytes>}
 */
export async function unpack(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}
