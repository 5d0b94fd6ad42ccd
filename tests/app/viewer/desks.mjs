// A browser and a server around the desk, for its tests. The server is a few lines that behave as the
// real one does; answers are held by the test.

import { Desk } from "../../../app/viewer/frontend/desk.js"
import { Labels } from "../../../app/viewer/frontend/labels.js"
import { fromRuns, pack, unpack } from "../../../app/viewer/frontend/packing.js"

const DIMS = [5, 4, 3]
export const COUNT = 60
const blank = () => new Labels(new Uint8Array(COUNT), DIMS, [1, 1, 1])
export const turn = () => new Promise((done) => setImmediate(done))

export async function until(isSo) {
  const begun = performance.now()
  while (!isSo()) {
    if (performance.now() - begun > 10000) throw new Error(`never so: ${isSo}`)
    await turn()
  }
}

/** Cases with their newest mask and drafts, as the server has them; `hold` stops its answers. */
export class Server {
  constructor() {
    this.masks = new Map()
    this.drafts = new Map()
    this.log = []
    /** @type {(() => void)[] | null} */
    this.held = null
    /** @type {(method: string, path: string) => string | false} */
    this.fails = () => false
    /** @type {(method: string) => boolean} */
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

  /** @returns {Promise<any>} */
  async fetch(url, { method = "GET", body, headers = {} } = /** @type {any} */ ({})) {
    const [path, asked] = url.split("?")
    const [, id, what, file] = path.split("/")
    const query = Object.fromEntries(new URLSearchParams(asked))
    this.log.push(`${method} ${path}`)
    if (this.held && this.holds(method)) await new Promise((go) => this.held.push(() => go(null)))
    if (this.fails(method, path) === "before") throw new TypeError("network")
    const answer = await this.answer(method, id, file ?? what, query, body, headers)
    if (this.fails(method, path) === "after") throw new TypeError("network")
    return answer
  }

  async answer(method, id, what, query, body, headers) {
    const versions = this.masks.get(id) ?? []
    const json = (status, told) => ({ ok: status < 300, status, json: async () => told })
    const refused = (code, message, more = {}) =>
      json(409, { error: { code, message, hint: "Do.", ...more } })
    const ofCase = [...this.drafts].filter(([key]) => key.startsWith(`${id}/`))
    if (what === "masks") {
      const [base, about, drawing, replaces] = ["base", "case", "drawing", "replaces"]
        .map((name) => body.get(name))
      if (about !== id) return refused("other_case", "This was drawn on another case")
      if (Number(base) !== versions.length) {
        return refused("newer_version", "First saved a version at 10:00 UTC",
          { newest: versions.length })
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
    return { ok: true, arrayBuffer: async () => pack(Uint8Array.of(9, 9, 9, 9, ...values)) }
  }

  newest(id) {
    return this.masks.get(id)?.at(-1).values
  }

  draftsOf(id) {
    return [...this.drafts].filter(([key]) => key.startsWith(`${id}/`)).map(([, d]) => d.values)
  }
}

export function unpackRuns(bytes) {
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

export function memory() {
  const kept = new Map()
  return { kept, get: (key) => kept.get(key) ?? null, remove: (key) => kept.delete(key),
    set: (key, value) => Boolean(kept.set(key, value)), keys: () => [...kept.keys()] }
}

/** Which page of a browser has which name; a closed page has none. */
export function browserTabs() {
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
export function page(server, { store = memory(), session = memory(), tabs = browserTabs()() }
  = /** @type {any} */ ({})) {
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

export function draw(sheet, ...indices) {
  sheet.labels.begin()
  for (const index of indices) sheet.labels.set(index, 1 + index % 2)
  if (sheet.labels.end()) sheet.changed()
}

export function drawn(...indices) {
  const values = new Uint8Array(COUNT)
  for (const index of indices) values[index] = 1 + index % 2
  return values
}
