// What crosses the wire about a drawing, and how a refusal is read: as fields, whatever its words.

import assert from "node:assert/strict"
import { test } from "node:test"
import { Announcer } from "../../../app/viewer/frontend/announcer.js"
import { draftsIn } from "../../../app/viewer/frontend/drafts.js"
import { pack, toRuns } from "../../../app/viewer/frontend/packing.js"
import {
  NO_ANSWER, draftOf, isMaskOf, keepDraft, keepDraftAtOnce, refusal, saveMask,
} from "../../../app/viewer/frontend/requests.js"

const of = { id: "A", files: "/A", grid: "g" }
const drawing = { of, base: 2, drawing: "d1", replaces: "d0" }
const values = Uint8Array.of(0, 1, 2, 2)
const mask = { values, author: "Dr A", comment: "" }
const unreadable = async () => { throw new SyntaxError("not JSON") }

/** A server with one answer, and what it was asked. */
function server(answer) {
  const asked = []
  return { asked, fetch: async (url, options) => {
    asked.push({ url, ...options })
    if (answer instanceof Error) throw answer
    return { ok: answer.status < 300, headers: new Map(), json: async () => answer.told, ...answer }
  } }
}

test("a newer version is told by its number, whatever the words and their language", async () => {
  const error = { code: "newer_version", message: "Dr B hat gespeichert", hint: "", newest: 7 }
  const { fetch } = server({ status: 409, told: { error } })
  assert.deepEqual(await saveMask(fetch, drawing, mask), { error })
})

test("an answer that cannot be read, or none, is the same refusal, and a save is uncertain", async () => {
  for (const answer of [new TypeError("network"), { status: 200, json: unreadable }]) {
    assert.deepEqual(await saveMask(server(answer).fetch, drawing, mask), { error: NO_ANSWER, isUncertain: true })
  }
  assert.deepEqual(await saveMask(server({ status: 500, told: {} }).fetch, drawing, mask), { error: NO_ANSWER })
  assert.equal(await refusal(/** @type {any} */ ({ json: unreadable })), NO_ANSWER)
  assert.equal(await keepDraft(server(new TypeError("network")).fetch, drawing, values), NO_ANSWER)
  const full = { code: "storage", message: "Full", hint: "Wait." }
  assert.deepEqual(await keepDraft(server({ status: 503, told: { error: full } }).fetch, drawing, values), full)
})

test("a save names its case, grid, base and drawing", async () => {
  const { fetch, asked } = server({ status: 201, told: { version: 3 } })
  assert.deepEqual(await saveMask(fetch, drawing, mask), { version: 3 })
  const { labels, ...fields } = Object.fromEntries(asked[0].body)
  assert.deepEqual(fields, { case: "A", grid: "g", base: "2", author: "Dr A", comment: "",
    drawing: "d1", replaces: "d0" })
  assert.deepEqual(new Uint8Array(await labels.arrayBuffer()), await pack(values))
})

test("a draft is put with its grid and base, and dropped by its name alone", async () => {
  const { fetch, asked } = server({ status: 204 })
  await keepDraft(fetch, drawing, values)
  await keepDraft(fetch, drawing, null)
  keepDraftAtOnce(fetch, drawing, values)
  assert.deepEqual(asked.map(({ method, url }) => `${method} ${url}`), [
    "PUT /A/draft?case=A&drawing=d1&replaces=d0&grid=g&base=2",
    "DELETE /A/draft?case=A&drawing=d1&replaces=d0",
    "PUT /A/draft?case=A&drawing=d1&replaces=d0&grid=g&base=2"])
  assert.equal(asked[2].keepalive, true)
})

test("a page that is closed sends no more than browsers let it", () => {
  const { fetch, asked } = server({ status: 204 })
  keepDraftAtOnce(fetch, drawing, Uint8Array.from({ length: 70000 }, (_, i) => i % 2))
  assert.equal(asked.length, 0)
})

test("a draft comes with what it was drawn on; none is no error, a refusal is", async () => {
  const headers = new Map([["X-Base", "4"], ["X-At", "2026-11-25T10:00"], ["X-Drawing", "d9"]])
  const packed = await pack(values)
  const { fetch } = server({ status: 200, headers, arrayBuffer: async () => packed.buffer })
  assert.deepEqual(await draftOf(fetch, "/A", "d1"),
    { base: 4, at: "2026-11-25T10:00", drawing: "d9", labels: values })
  assert.equal(await draftOf(server({ status: 204 }).fetch, "/A", "d1"), null)
  const error = { code: "not_found", message: "Gone", hint: "Reload." }
  await assert.rejects(draftOf(server({ status: 404, told: { error } }).fetch, "/A", "d1"), error)
})

test("a version holds what was saved, or not, or cannot be read", async () => {
  const file = await pack(Uint8Array.of(9, 9, 9, ...values))
  const { fetch, asked } = server({ status: 200, arrayBuffer: async () => file.buffer })
  assert.equal(await isMaskOf(fetch, "/A", 5, values), true)
  assert.equal(asked[0].url, "/A/masks/5.nii.gz")
  assert.equal(await isMaskOf(fetch, "/A", 5, Uint8Array.of(1, 1, 2, 2)), false)
  assert.equal(await isMaskOf(server({ status: 404 }).fetch, "/A", 5, values), false)
})

test("this browser's drafts of a case: the newest first, whole ones of the same grid alone", () => {
  const kept = new Map(Object.entries({
    "hippoview-draft-A": JSON.stringify({ base: 0, grid: "g", at: "1", runs: toRuns(values) }),
    "hippoview-draft-A.d2": JSON.stringify({ base: 1, grid: "g", at: "3", runs: toRuns(values), replaces: "d1" }),
    "hippoview-draft-A.d3": JSON.stringify({ base: 1, grid: "another", at: "4", runs: [] }),
    "hippoview-draft-A.d4": "{ cut off",
    "hippoview-draft-AB.d5": JSON.stringify({ base: 1, at: "5", runs: [] }),
    "hippoview-view": "All",
  }))
  const store = /** @type {any} */ ({ keys: () => [...kept.keys()], get: (key) => kept.get(key) })
  const drafts = draftsIn(store, of)
  assert.deepEqual(drafts.map(({ drawing: name }) => name), ["d2", ""])
  assert.deepEqual(drafts[0], { base: 1, at: "3", replaces: "d1", labels: values, isLocal: true, drawing: "d2" })
})

test("the page is told again until it shows the version, and of no case that it has left", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] })
  const told = []
  let shown = { case: "A", newest: 0 }
  const announcer = new Announcer({ tell: (version) => told.push(version), asked: () => shown })
  announcer.announce("A", 1)
  context.mock.timers.tick(4000)
  assert.deepEqual(told.map(({ time }) => time), [1, 2])
  shown = { case: "A", newest: 1 }
  context.mock.timers.tick(20000)
  assert.equal(told.length, 2)
  announcer.announce("A", 2)
  shown = { case: "B", newest: 0 }
  context.mock.timers.tick(20000)
  assert.equal(told.length, 3)
  shown = { case: "C", newest: 0 }
  announcer.announce("C", 1)
  for (let i = 0; i < 9; i++) context.mock.timers.tick(4000)
  assert.equal(told.length, 3 + 5) // then it gives up
  announcer.close()
  announcer.announce("C", 2)
  assert.equal(told.length, 8)
})
