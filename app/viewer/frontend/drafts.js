// Drafts in the browser's own storage: what was drawn, until the server has it.

import { fromRuns } from "./packing.js"

/** @typedef {import("./types.js").Draft} Draft */

export const DRAFT_KEY = "hippoview-draft-" // then the case, a point, and the drawing

/**
 * The drafts of a case that this browser has and the server perhaps not, the newest first.
 * @param {import("./types.js").Store} store
 * @param {{ id: string, grid: string }} of the case
 * @returns {Draft[]}
 */
export function draftsIn(store, { id, grid }) {
  const first = DRAFT_KEY + id
  const drafts = []
  for (const key of store.keys()) {
    if (!key || (key !== first && !key.startsWith(`${first}.`))) continue
    try {
      const draft = JSON.parse(store.get(key) ?? "")
      if (draft.grid && draft.grid !== grid) continue
      const { base, at, replaces } = draft
      drafts.push({ base, at, replaces, labels: fromRuns(draft.runs), isLocal: true,
        drawing: key.slice(first.length + 1) })
    } catch {
      // Cut off or of another version: nothing can be made of it.
    }
  }
  return drafts.sort((a, b) => (a.at < b.at ? 1 : -1))
}
