// What is drawn on a case becomes a version of its mask, whatever comes meanwhile: see sheet.js.

import assert from "node:assert/strict"
import { test } from "node:test"
import { COUNT, Server, draw, drawn, page, turn } from "./desks.mjs"

test("a save goes to the case it was drawn on, whatever is opened before it is sent", async () => {
  const server = new Server()
  const { open } = page(server)
  const a = await open("A")
  draw(a, 1, 2, 3)
  const saving = a.save("Dr A", "")
  const b = await open("B") // before the mask is packed
  assert.deepEqual(await saving, { version: 1 })
  assert.deepEqual(server.newest("A"), drawn(1, 2, 3))
  assert.equal(server.newest("B"), undefined)
  assert.equal(b.base, 0)
  assert.equal(b.isDrawn, false)
  assert.equal(a.base, 1)
})

test("a late answer leaves the base, the drawing and the draft of another case alone", async () => {
  const server = new Server()
  const { open, store, wait } = page(server)
  const a = await open("A")
  draw(a, 1)
  server.hold()
  const saving = a.save("Dr A", "")
  const release = await server.caught(1)
  const b = await open("B")
  draw(b, 7)
  const kept = store.get(b.key)
  release()
  await saving
  assert.equal(b.base, 0)
  assert.equal(b.isDrawn, true)
  assert.equal(store.get(b.key), kept)
  await wait()
  assert.deepEqual(server.draftsOf("B"), [drawn(7)])
  assert.deepEqual(server.draftsOf("A"), [])
})

test("what is drawn while a mask is packed or sent is not saved, and says so", async () => {
  const server = new Server()
  const { open, wait, events, store } = page(server)
  const a = await open("A")
  draw(a, 1)
  server.hold()
  const saving = a.save("Dr A", "")
  draw(a, 2) // while it is packed
  const release = await server.caught(1)
  draw(a, 3) // while it is sent
  release()
  await saving
  assert.deepEqual(server.newest("A"), drawn(1))
  assert.equal(a.isDrawn, true)
  assert.equal(a.base, 1)
  assert.equal(JSON.parse(store.get(a.key)).base, 1)
  await wait()
  assert.deepEqual(server.draftsOf("A"), [drawn(1, 2, 3)])
  assert.ok(events.some(([, { words }]) => words?.includes("What you drew since is not part of it")))
  assert.deepEqual(await a.save("Dr A", ""), { version: 2 })
  assert.deepEqual(server.newest("A"), drawn(1, 2, 3))
  assert.deepEqual(server.draftsOf("A"), [])
})

test("two saves of one case come one after the other, the second on top of the first", async () => {
  const server = new Server()
  const { open } = page(server)
  const a = await open("A")
  draw(a, 1)
  server.hold()
  const first = a.save("Dr A", "")
  draw(a, 2)
  const second = a.save("Dr A", "")
  const release = await server.caught(1)
  assert.deepEqual(server.log.slice(1), ["POST /A/masks"]) // the second waits
  release()
  assert.deepEqual([await first, await second], [{ version: 1 }, { version: 2 }])
  assert.deepEqual(server.masks.get("A").map(({ values }) => values), [drawn(1), drawn(1, 2)])
})

test("a draft that was sent before a save does not come after it", async () => {
  const server = new Server()
  const { open, wait } = page(server)
  const a = await open("A")
  draw(a, 1)
  server.hold()
  a.keep()
  const release = await server.caught(1)
  const saving = a.save("Dr A", "")
  for (let i = 0; i < 300; i++) await turn() // long enough to pack the mask and send it
  assert.deepEqual(server.log.slice(1), ["PUT /A/draft"])
  release()
  await saving
  await wait()
  assert.deepEqual(server.draftsOf("A"), [])
  assert.deepEqual(server.newest("A"), drawn(1))
})

test("cases do not wait for each other", async () => {
  const server = new Server()
  const { open } = page(server)
  const a = await open("A")
  draw(a, 1)
  server.hold()
  const late = a.save("Dr A", "")
  const release = await server.caught(1)
  const b = await open("B")
  draw(b, 2)
  await b.save("Dr B", "")
  assert.deepEqual(server.newest("B"), drawn(2))
  release()
  await late
  assert.deepEqual(server.newest("A"), drawn(1))
})

test("a failed save keeps the drawing, as a draft as well, and can be tried again", async () => {
  const server = new Server()
  const { open, wait } = page(server)
  const a = await open("A")
  draw(a, 1)
  server.fails = (method) => method === "POST" && "before"
  const { error } = await a.save("Dr A", "")
  assert.match(error.message, /does not answer/)
  assert.equal(a.isDrawn, true)
  await wait()
  assert.deepEqual(server.draftsOf("A"), [drawn(1)])
  server.fails = () => false
  assert.deepEqual(await a.save("Dr A", ""), { version: 1 })
})

test("a save whose answer was lost is not made twice", async () => {
  const server = new Server()
  const { open, wait } = page(server)
  const a = await open("A")
  draw(a, 1)
  server.fails = (method) => method === "POST" && "after"
  assert.ok((await a.save("Dr A", "")).error)
  server.fails = () => false
  assert.deepEqual(await a.save("Dr A", ""), { version: 1 })
  assert.equal(server.masks.get("A").length, 1)
  assert.equal(a.isDrawn, false)
  await wait()
  assert.deepEqual(server.draftsOf("A"), [])
})

test("a newer version of somebody else is told; the drawing stays and can go after it", async () => {
  const server = new Server()
  const { open, wait } = page(server)
  const a = await open("A")
  server.masks.set("A", [{ values: drawn(9) }])
  draw(a, 1)
  const { error, newest } = await a.save("Dr A", "")
  assert.equal(error.code, "newer_version")
  assert.equal(newest, 1)
  assert.equal(a.base, 0)
  await wait()
  assert.deepEqual(server.draftsOf("A"), [drawn(1)])
  a.rebase(newest)
  assert.deepEqual(await a.save("Dr A", ""), { version: 2 })
  assert.deepEqual(server.masks.get("A").map(({ values }) => values), [drawn(9), drawn(1)])
})

test("a case that is opened again while it is saved shows what was drawn, not what was loaded", async () => {
  const server = new Server()
  const { open } = page(server)
  const a = await open("A")
  draw(a, 1)
  server.hold()
  const saving = a.save("Dr A", "")
  draw(a, 2)
  const release = await server.caught(1)
  await open("B")
  const again = await open("A") // the page still has version 0
  assert.deepEqual(again.values, drawn(1, 2))
  release()
  await saving
  assert.equal(again.base, 1)
  assert.equal(again.isDrawn, true)
  again.labels.undo()
  again.changed()
  assert.equal(again.isDrawn, false) // back to what was saved
})

test("any order of drawing, saving, switching and answers ends with every mask on its case", async () => {
  let seed = 7
  const random = (n) => { seed = (seed * 48271) % 2147483647; return seed % n }
  for (let round = 0; round < 100; round++) {
    const server = new Server()
    server.holds = (method) => method !== "GET" // an opening waits for its answer
    const { open, wait, desk } = page(server)
    const truth = new Map([["A", drawn()], ["B", drawn()], ["C", drawn()]])
    let sheet = await open("A")
    const saves = []
    for (let step = 0; step < 30; step++) {
      const act = random(6)
      const { id } = sheet.of
      if (act < 2) {
        const index = random(COUNT)
        draw(sheet, index)
        truth.get(id)[index] = 1 + index % 2
      } else if (act === 2) saves.push([id, sheet.save(`of ${id}`, "")])
      else if (act === 3) {
        const next = ["A", "B", "C"][random(3)]
        const newest = server.masks.get(next)?.length ?? 0
        if (next !== id) {
          sheet.flush()
          sheet = await open(next, newest)
        }
      } else if (act === 4 && !server.held) server.hold()
      else if (act === 5) server.letGo()
      for (let i = random(4); i; i--) await turn()
    }
    server.letGo()
    await Promise.all(saves.map(([, save]) => save))
    await wait()
    for (const [id, values] of truth) {
      assert.ok((server.masks.get(id) ?? []).every(({ author }) => author === `of ${id}`))
      const last = server.draftsOf(id).at(-1) ?? server.newest(id) ?? drawn()
      assert.deepEqual(last, values, `round ${round}, case ${id}`)
    }
    assert.equal(desk.chains.size, 0)
  }
})
