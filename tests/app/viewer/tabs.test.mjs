// Which page has a drawing's name: with the browser's locks, and without them by asking the others.

import assert from "node:assert/strict"
import { test } from "node:test"
import { Tabs } from "../../../app/viewer/frontend/tabs.js"

/** The browser's locks as a page sees them: exclusive, in order, given back when it is closed. */
function browserLocks() {
  const queues = new Map()
  const begin = (name) => {
    const [first] = queues.get(name)
    if (first && !first.begun) {
      first.begun = true
      first.act()
    }
  }
  return () => {
    const own = []
    const leave = (name, entry) => {
      const queue = queues.get(name)
      queue.splice(queue.indexOf(entry), 1)
      begin(name)
    }
    return {
      request: (name, { signal }, act) => new Promise((_, fail) => {
        const entry = { act, begun: false }
        own.push([name, entry])
        queues.set(name, [...queues.get(name) ?? [], entry])
        signal.addEventListener("abort", () => {
          if (entry.begun) return
          leave(name, entry)
          fail(signal.reason)
        })
        queueMicrotask(() => begin(name))
      }),
      query: async () => ({ held: [...queues].flatMap(([name, queue]) =>
        queue.filter(({ begun }) => begun).map(() => ({ name }))) }),
      close: () => own.forEach(([name, entry]) => leave(name, entry)),
    }
  }
}

const later = (act) => setTimeout(act, 50)

function pages(kind, count) {
  const locks = browserLocks()
  return Array.from({ length: count }, () => {
    const mine = kind === "locks" ? /** @type {any} */ (locks()) : undefined
    const channel = kind === "channel" ? new BroadcastChannel("drawings") : undefined
    return { tabs: new Tabs({ locks: mine, channel, setTimeout: later }),
      close: () => (mine ?? channel)?.close() }
  })
}

for (const kind of ["locks", "channel"]) {
  test(`a name belongs to one page until it is closed (${kind})`, async () => {
    const [one, two, three] = pages(kind, 3)
    assert.equal(await one.tabs.take("a"), true)
    assert.equal(await one.tabs.take("a"), true)
    assert.equal(await one.tabs.isTaken("a"), false) // by another
    assert.equal(await two.tabs.isTaken("a"), true)
    assert.equal(await two.tabs.take("a"), false)
    assert.equal(await two.tabs.take("b"), true)
    assert.equal(await three.tabs.isTaken("c"), false)
    one.close()
    assert.equal(await three.tabs.isTaken("a"), false)
    assert.equal(await three.tabs.take("a"), true)
    assert.equal(await two.tabs.take("a"), false)
    for (const { close } of [two, three]) close()
  })

  test(`of two pages that ask at once never both have it (${kind})`, async () => {
    const [one, two] = pages(kind, 2)
    const both = await Promise.all([one.tabs.take("a"), two.tabs.take("a")])
    assert.ok(both.includes(false))
    for (const { close } of [one, two]) close()
  })
}

test("a page that is reloaded waits for the one before to let go", async () => {
  const [before, after] = pages("locks", 2)
  await before.tabs.take("a")
  const taken = after.tabs.take("a")
  before.close()
  assert.equal(await taken, true)
})

test("a browser without both, or that refuses locks, gives every page what it asks for", async () => {
  const [one, two] = pages("neither", 2)
  assert.deepEqual([await one.tabs.take("a"), await two.tabs.take("a")], [true, true])
  assert.equal(await two.tabs.isTaken("a"), false)
  const refuse = async () => { throw new DOMException("", "SecurityError") }
  const third = new Tabs({ locks: { request: refuse, query: refuse }, setTimeout: later })
  assert.equal(await third.take("a"), true)
  assert.equal(await third.isTaken("b"), false)
})
