// What the page has one of, whatever viewers come and go: its desk, so that what is on its way goes on
// when a viewer is taken away and comes again.

import { Desk } from "./desk.js"
import { storeOf } from "./store.js"
import { Tabs } from "./tabs.js"

export const desk = new Desk({
  fetch: (...request) => fetch(...request),
  store: storeOf("localStorage"), session: storeOf("sessionStorage"),
  tabs: new Tabs({ locks: globalThis.navigator?.locks,
    setTimeout: (act, ms) => setTimeout(act, ms),
    channel: globalThis.BroadcastChannel && new BroadcastChannel("hippoview-drawings") }),
  setTimeout: (act, ms) => setTimeout(act, ms),
  clearTimeout: (timer) => clearTimeout(/** @type {number} */ (timer)),
  now: () => new Date().toISOString(),
  name: () => Math.random().toString(36).slice(2, 14),
})
globalThis.addEventListener?.("pagehide", () => desk.leave())
globalThis.addEventListener?.("beforeunload", (event) => {
  if (desk.isAtRisk) event.preventDefault() // the browser asks whether to leave
})
globalThis.document?.addEventListener?.("visibilitychange", () => {
  if (document.visibilityState === "hidden") desk.flush()
})
