// What is drawn and not saved is found again: on the server, in the browser, beside other tabs.

import assert from "node:assert/strict"
import { test } from "node:test"
import { storeOf } from "../../../app/viewer/frontend/store.js"
import { Server, browserTabs, draw, drawn, memory, page, turn } from "./desks.mjs"

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
    Reflect.deleteProperty(globalThis, "localStorage")
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
    for (const [tab, values] of /** @type {[typeof one, Uint8Array][]} */ ([[one, drawn(1, 3)], [two, drawn(1, 2)]])) {
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
