// What is drawn, kept and saved, without a browser: `node --test`, run by test_frontend.py.
// The server here is a few lines that behave as the real one does; answers are held by the test.

import assert from "node:assert/strict"
import { test } from "node:test"
import { Labels, fromRuns, packRuns, same, toRuns, unpack } from "../../../app/viewer/frontend/labels.js"
import { Desk } from "../../../app/viewer/frontend/saving.js"
import { storeOf } from "../../../app/viewer/frontend/store.js"

const DIMS = [5, 4, 3]
const COUNT = 60
const blank = () => new Labels(new Uint8Array(COUNT), DIMS, [1, 1, 1])
const turn = () => new Promise((done) => setImmediate(done))

async function until(isSo) {
  const begun = performance.now()
  while (!isSo()) {
    if (performance.now() - begun > 10000) throw new Error(`never so: ${isSo}`)
    await turn()
  }
}

/** Cases with their newest mask and drafts, as the server has them; `hold` stops its answers. */
class Server {
  constructor() {
    this.masks = new Map()
    this.drafts = new Map()
    this.log = []
    this.held = null
    this.fails = () => false
    this.holds = () => true
  }

  hold() {
    this.held = []
  }

  /** Once so many requests wait: answer the later ones at once, and give what lets these go. */
  async caught(count) {
    await until(() => this.held.length === count)
    const waiting = this.held
    this.held = null
    return () => waiting.forEach((go) => go())
  }

  letGo() {
    this.held?.forEach((go) => go())
    this.held = null
  }

  async fetch(url, { method = "GET", body, headers = {} } = {}) {
    const [path, asked] = url.split("?")
    const [, id, what, file] = path.split("/")
    const query = Object.fromEntries(new URLSearchParams(asked))
    this.log.push(`${method} ${path}`)
    if (this.held && this.holds(method)) await new Promise((go) => this.held.push(go))
    if (this.fails(method, path) === "before") throw new TypeError("network")
    const answer = await this.answer(method, id, file ?? what, query, body, headers)
    if (this.fails(method, path) === "after") throw new TypeError("network")
    return answer
  }

  async answer(method, id, what, query, body, headers) {
    const versions = this.masks.get(id) ?? []
    const json = (status, told) => ({ ok: status < 300, status, json: async () => told })
    const refused = (code, message) => json(409, { error: { code, message, hint: "Do." } })
    const ofCase = [...this.drafts].filter(([key]) => key.startsWith(`${id}/`))
    if (what === "masks") {
      const [base, about, drawing, replaces] = ["base", "case", "drawing", "replaces"]
        .map((name) => body.get(name))
      if (about !== id) return refused("other_case", "This was drawn on another case")
      if (Number(base) !== versions.length) {
        return refused("newer_version", `First saved version ${versions.length} at 10:00 UTC`)
      }
      const bytes = new Uint8Array(await body.get("labels").arrayBuffer())
      this.masks.set(id, [...versions, { values: await unpack(bytes), author: body.get("author") }])
      for (const each of [drawing, replaces]) this.drafts.delete(`${id}/${each}`)
      return json(201, { version: versions.length + 1 })
    }
    if (what === "draft" && method === "PUT") {
      const values = headers["Content-Type"].includes("runs") ? unpackRuns(body) : await unpack(body)
      this.drafts.delete(`${id}/${query.replaces}`)
      this.drafts.set(`${id}/${query.drawing}`, { base: query.base, values, body })
      return json(204)
    }
    if (what === "draft" && method === "DELETE") {
      for (const each of [query.drawing, query.replaces]) this.drafts.delete(`${id}/${each}`)
      return json(204)
    }
    if (what === "draft") {
      if (!ofCase.length) return json(204)
      const [key, draft] = ofCase.find(([k]) => k === `${id}/${query.drawing}`) ?? ofCase.at(-1)
      return { ok: true, status: 200, arrayBuffer: async () => draft.body, headers: new Map(
        [["X-Base", draft.base], ["X-At", "2026-11-25T10:00"], ["X-Drawing", key.split("/")[1]]]) }
    }
    const { values } = versions[Number.parseInt(what) - 1]
    const { pack } = await import("../../../app/viewer/frontend/labels.js")
    return { ok: true, arrayBuffer: async () => pack(Uint8Array.of(9, 9, 9, 9, ...values)) }
  }

  newest(id) {
    return this.masks.get(id)?.at(-1).values
  }

  draftsOf(id) {
    return [...this.drafts].filter(([key]) => key.startsWith(`${id}/`)).map(([, d]) => d.values)
  }
}

function unpackRuns(bytes) {
  const runs = []
  for (let i = 0; i < bytes.length;) {
    runs.push(bytes[i++])
    let count = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[i++]
      count += (byte % 128) * scale
      if (byte < 128) break
    }
    runs.push(count)
  }
  return fromRuns(runs)
}

function memory() {
  const kept = new Map()
  return { kept, get: (key) => kept.get(key) ?? null, remove: (key) => kept.delete(key),
    set: (key, value) => Boolean(kept.set(key, value)), keys: () => [...kept.keys()] }
}

/** Which page of a browser has which name; a closed page has none. */
function browserTabs() {
  const holders = new Map()
  return () => {
    const me = {}
    const isFree = (name) => [undefined, me].includes(holders.get(name))
    return {
      take: async (name) => isFree(name) && Boolean(holders.set(name, me)),
      isTaken: async (name) => !isFree(name),
      close: () => { for (const [name, who] of holders) if (who === me) holders.delete(name) },
    }
  }
}

/** A page of a browser: its desk, and timers that run when the test says so. */
function page(server, { store = memory(), session = memory(), tabs = browserTabs()() } = {}) {
  const timers = new Map()
  let number = 0
  const desk = new Desk({
    fetch: (url, options) => server.fetch(url, options), store, session, tabs,
    setTimeout: (act) => (timers.set(++number, act), number),
    clearTimeout: (timer) => timers.delete(timer),
    now: () => `2026-11-25T10:${String(++number).padStart(4, "0")}`,
    name: () => `d${Math.random().toString(36).slice(2, 8)}`,
  })
  const events = []
  desk.watchers.add((sheet, event) => { if (Object.keys(event).length) events.push([sheet.of.id, event]) })
  const open = async (id, newest = 0) => {
    const labels = blank()
    if (newest) labels.values.set(server.masks.get(id)[newest - 1].values)
    const sheet = desk.open({ id, files: `/${id}`, grid: `grid of ${id}` }, labels,
      { newest, version: newest })
    await sheet.restore()
    return sheet
  }
  /** Until nothing is on its way, timers included. */
  const wait = async () => {
    do {
      for (const [timer, act] of [...timers]) if (timers.delete(timer)) act()
      await Promise.all(desk.chains.values())
    } while (timers.size || desk.chains.size)
  }
  return { desk, store, session, tabs, events, open, wait, timers }
}

function draw(sheet, ...indices) {
  sheet.labels.begin()
  for (const index of indices) sheet.labels.set(index, 1 + index % 2)
  if (sheet.labels.end()) sheet.changed()
}

function drawn(...indices) {
  const values = new Uint8Array(COUNT)
  for (const index of indices) values[index] = 1 + index % 2
  return values
}

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

test("discarding, then leaving, forgets the draft of that case alone", async () => {
  const server = new Server()
  const { open, wait } = page(server)
  const a = await open("A")
  draw(a, 1)
  await wait()
  a.labels.replace(a.saved)
  a.changed()
  a.flush()
  const b = await open("B")
  draw(b, 2)
  await wait()
  assert.deepEqual(server.draftsOf("A"), [])
  assert.deepEqual(server.draftsOf("B"), [drawn(2)])
})

test("a reload finds the drawing again, on the server or in the browser", async () => {
  const server = new Server()
  const first = page(server)
  draw(await first.open("A"), 1)
  await first.wait()
  const again = page(server, first)
  const a = await again.open("A")
  assert.deepEqual(a.values, drawn(1))
  server.fails = (method) => method === "PUT" && "before"
  draw(a, 2)
  await a.keep()
  const third = page(server, again)
  const back = await third.open("A")
  assert.deepEqual(back.values, drawn(1, 2))
  server.fails = () => false
  await third.wait()
  await back.save("Dr A", "")
  await third.wait()
  assert.deepEqual(server.newest("A"), drawn(1, 2))
  assert.deepEqual([server.draftsOf("A"), third.store.keys()], [[], []])
})

test("a page that is closed sends at once what the server has not got", async () => {
  const server = new Server()
  const { open, desk } = page(server)
  draw(await open("A"), 1, 2)
  desk.leave()
  assert.equal(server.log.at(-1), "PUT /A/draft") // at once: no timer, no compression
  await turn()
  assert.deepEqual(server.draftsOf("A"), [drawn(1, 2)])
})

test("a storage that is full or blocked is told, and does not stop the draft on the server", async () => {
  for (const kind of ["QuotaExceededError", "SecurityError"]) {
    const fail = () => { throw new DOMException("", kind) }
    Object.defineProperty(globalThis, "localStorage", { configurable: true,
      get: kind === "SecurityError" ? fail
        : () => ({ setItem: fail, getItem: () => null, removeItem() {}, length: 0 }) })
    const server = new Server()
    const { open, wait, desk, events } = page(server, { store: storeOf("localStorage") })
    const a = await open("A")
    draw(a, 1)
    assert.equal(desk.isAtRisk, true) // the browser asks before it leaves
    await wait()
    assert.deepEqual(server.draftsOf("A"), [drawn(1)])
    assert.match(a.words, /full or blocked: only the server has it/)
    assert.equal(desk.isAtRisk, false)
    server.fails = (method) => method === "PUT" && "before"
    draw(a, 2)
    await a.keep()
    assert.match(a.words, /kept nowhere. Leave this page open/)
    assert.ok(events.length)
    delete globalThis.localStorage
  }
})

test("two tabs on one case: saving in one takes nothing from the other", async () => {
  const server = new Server()
  const store = memory() // tabs share it
  const tabs = browserTabs()
  const one = page(server, { store, tabs: tabs() })
  const two = page(server, { store, tabs: tabs() })
  const a1 = await one.open("A")
  draw(a1, 1)
  await one.wait()
  const a2 = await two.open("A") // begins with the draft of the first
  assert.deepEqual(a2.values, drawn(1))
  draw(a2, 2)
  draw(a1, 3)
  await one.wait()
  await two.wait()
  await a1.save("Dr A", "")
  await one.wait()
  assert.deepEqual(server.newest("A"), drawn(1, 3))
  two.tabs.close()
  const reloaded = page(server, { store, session: two.session, tabs: tabs() })
  const back = await reloaded.open("A", 1)
  assert.deepEqual(back.values, drawn(1, 2))
  assert.equal(back.base, 0)
  assert.equal((await back.save("Dr A", "")).error.code, "newer_version")
})

test("a duplicated tab, which has the drawing's name as well, keeps what it draws beside it", async () => {
  for (const isKept of [true, false]) { // on the server, or in the browser alone so far
    const server = new Server()
    const store = memory()
    const tabs = browserTabs()
    const one = page(server, { store, tabs: tabs() })
    const a1 = await one.open("A")
    draw(a1, 1)
    if (isKept) await one.wait()
    const session = memory()
    for (const [key, value] of one.session.kept) session.set(key, value)
    const two = page(server, { store, session, tabs: tabs() })
    const a2 = await two.open("A")
    assert.deepEqual(a2.values, drawn(1))
    draw(a2, 2)
    draw(a1, 3)
    await two.wait()
    await one.wait()
    assert.deepEqual(server.draftsOf("A").sort(), [drawn(1, 2), drawn(1, 3)].sort())
    for (const [tab, values] of [[one, drawn(1, 3)], [two, drawn(1, 2)]]) {
      tab.tabs.close()
      const again = page(server, { store, session: tab.session, tabs: tabs() })
      assert.deepEqual((await again.open("A")).values, values)
    }
  }
})

test("who looks at another tab's draft, or takes it over, drops it only once that tab is gone", async () => {
  const server = new Server()
  const store = memory()
  const tabs = browserTabs()
  const one = page(server, { store, tabs: tabs() })
  draw(await one.open("A"), 1)
  await one.wait()
  const two = page(server, { store, tabs: tabs() })
  const a2 = await two.open("A")
  draw(a2, 2)
  await two.wait()
  assert.deepEqual(server.draftsOf("A"), [drawn(1), drawn(1, 2)])
  await a2.save("Dr A", "")
  assert.deepEqual(server.draftsOf("A"), [drawn(1)]) // the first has not saved
  const three = page(server, { store, tabs: tabs() })
  server.masks.get("A").push({ values: drawn(1) }) // what the first drew, saved by somebody else
  await three.open("A", 2)
  await three.wait()
  assert.deepEqual(server.draftsOf("A"), [drawn(1)])
})

test("one drawing that goes on in another tab is one draft", async () => {
  const server = new Server()
  const store = memory()
  const tabs = browserTabs()
  const one = page(server, { store, tabs: tabs() })
  draw(await one.open("A"), 1)
  await one.wait()
  one.tabs.close()
  const two = page(server, { store, tabs: tabs() })
  const a = await two.open("A")
  draw(a, 2)
  await two.wait()
  assert.deepEqual(server.draftsOf("A"), [drawn(1, 2)])
})

test("who draws before the draft has come keeps both", async () => {
  const server = new Server()
  const one = page(server)
  draw(await one.open("A"), 1)
  await one.wait()
  const two = page(server)
  server.hold()
  const opened = two.open("A")
  const release = await server.caught(1)
  const [a] = two.desk.sheets.values()
  draw(a, 5)
  release()
  await opened
  assert.deepEqual(a.values, drawn(5))
  await two.wait()
  assert.deepEqual(server.draftsOf("A"), [drawn(1), drawn(5)])
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

test("runs give back any labels, as numbers and as bytes", () => {
  let seed = 3
  const random = (n) => { seed = (seed * 48271) % 2147483647; return seed % n }
  for (let round = 0; round < 200; round++) {
    const values = new Uint8Array(1 + random(600))
    for (let i = 0; i < values.length; i++) values[i] = i && random(9) ? values[i - 1] : random(3)
    assert.deepEqual(fromRuns(toRuns(values)), values)
    assert.deepEqual(unpackRuns(packRuns(toRuns(values))), values)
    const other = values.slice()
    assert.equal(same(values, other), true)
    other[random(values.length)] ^= 1
    assert.equal(same(values, other), false)
  }
})
