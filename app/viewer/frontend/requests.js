// What is asked of the server about a drawing. Each request names the case, its grid and the version
// under the drawing as they were when it was asked for; an answer is data or a refusal in fields.

import { pack, packRuns, same, toRuns, unpack } from "./packing.js"

/** @typedef {import("./types.js").Answer} Answer */
/** @typedef {import("./types.js").Bytes} Bytes */
/** @typedef {import("./types.js").Drawing} Drawing */
/** @typedef {import("./types.js").Fetch} Fetch */
/** @typedef {import("./types.js").Refusal} Refusal */

const DRAFT_TIMEOUT_MS = 30000
const SAVE_TIMEOUT_MS = 180000 // a head over a slow line
const LARGEST_LAST_BYTES = 60000 // browsers give a page that is closed 64 KiB for all it sends
export const RUNS_TYPE = "application/x-hippoview-runs"
/** @type {Refusal} */
export const NO_ANSWER = { code: "no_answer", message: "The server does not answer",
  hint: "The drawing is kept. Try again." }

/**
 * What the server said no with; that it does not answer, if it said nothing that can be read.
 * @param {Answer} answer
 * @returns {Promise<Refusal>}
 */
export async function refusal(answer) {
  const told = await answer.json().catch(() => ({}))
  return told.error ?? NO_ANSWER
}

/**
 * Keep a draft; null as `values` drops it. Gives null, or why it was not done.
 * @param {Fetch} fetch
 * @param {Drawing} drawing
 * @param {Bytes | null} values
 * @returns {Promise<Refusal | null>}
 */
export async function keepDraft(fetch, drawing, values) {
  const { url, method } = draftRequest(drawing, values !== null)
  try {
    const answer = await fetch(url, {
      method, body: values && await pack(values), signal: timeout(DRAFT_TIMEOUT_MS),
      headers: values ? { "Content-Type": "application/gzip" } : {},
    })
    return answer.ok ? null : await refusal(answer)
  } catch {
    return NO_ANSWER
  }
}

/**
 * The same while the page is closed: there is no time to compress, and none to wait.
 * @param {Fetch} fetch
 * @param {Drawing} drawing
 * @param {Bytes | null} values
 */
export function keepDraftAtOnce(fetch, drawing, values) {
  const body = values && packRuns(toRuns(values))
  if (body && body.length > LARGEST_LAST_BYTES) return
  const { url, method } = draftRequest(drawing, values !== null)
  fetch(url, { method, body, keepalive: true,
    headers: values ? { "Content-Type": RUNS_TYPE } : {} }).catch(() => {})
}

/**
 * @param {Drawing} about
 * @param {boolean} isDrawn
 */
function draftRequest({ of, base, drawing, replaces }, isDrawn) {
  const query = new URLSearchParams({ case: of.id, drawing })
  if (replaces) query.set("replaces", replaces)
  if (isDrawn) {
    query.set("grid", of.grid)
    query.set("base", String(base))
  }
  return { url: `${of.files}/draft?${query}`, method: isDrawn ? "PUT" : "DELETE" }
}

/**
 * The draft that the server has of a drawing, or the newest of this browser; null if none.
 * @param {Fetch} fetch
 * @param {string} files the case's link
 * @param {string} drawing
 * @returns {Promise<import("./types.js").Draft | null>}
 * @throws if the server refuses or does not answer
 */
export async function draftOf(fetch, files, drawing) {
  const query = new URLSearchParams({ drawing })
  const answer = await fetch(`${files}/draft?${query}`, { cache: "no-store" })
  if (answer.status === 204) return null
  if (answer.status !== 200) throw await refusal(answer)
  return {
    base: Number(answer.headers.get("X-Base")), at: answer.headers.get("X-At") ?? null,
    drawing: answer.headers.get("X-Drawing") ?? "",
    labels: await unpack(new Uint8Array(await answer.arrayBuffer())),
  }
}

/**
 * Save a mask as the version after the drawing's base.
 * @param {Fetch} fetch
 * @param {Drawing} about
 * @param {{ values: Bytes, author: string, comment: string }} mask
 * @returns {Promise<{ version?: number, error?: Refusal, isUncertain?: boolean }>}
 *   uncertain: it may have arrived, and the answer been lost
 */
export async function saveMask(fetch, { of, base, drawing, replaces }, { values, author, comment }) {
  try {
    const form = new FormData()
    form.append("labels", new Blob([await pack(values)]), "labels.gz")
    const fields = { case: of.id, grid: of.grid, base, author, comment, drawing, replaces }
    for (const [name, value] of Object.entries(fields)) form.append(name, String(value))
    const answer = await fetch(`${of.files}/masks`,
      { method: "POST", body: form, signal: timeout(SAVE_TIMEOUT_MS) })
    const told = await answer.json()
    return answer.ok ? { version: told.version } : { error: told.error ?? NO_ANSWER }
  } catch {
    return { error: NO_ANSWER, isUncertain: true }
  }
}

/**
 * Whether a version of the case's mask holds these labels; false as well if it cannot be read.
 * @param {Fetch} fetch
 * @param {string} files the case's link
 * @param {number} version
 * @param {Bytes} values
 */
export async function isMaskOf(fetch, files, version, values) {
  try {
    return same(await maskOf(fetch, files, version, values.length), values)
  } catch {
    return false
  }
}

/**
 * The labels of a version of the case's mask.
 * @param {Fetch} fetch
 * @param {string} files the case's link
 * @param {number} version
 * @param {number} count voxels
 */
export async function maskOf(fetch, files, version, count) {
  const answer = await fetch(`${files}/masks/${version}.nii.gz`)
  if (!answer.ok) throw new Error(`mask: ${answer.status}`)
  const file = await unpack(new Uint8Array(await answer.arrayBuffer()))
  return file.slice(-count) // the header lies before them
}

/** @param {number} ms */
function timeout(ms) {
  return AbortSignal.timeout?.(ms)
}
