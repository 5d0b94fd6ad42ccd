// Shapes that several modules share: what the server and the page send, and what is passed around.

import type { Labels } from "./labels.js"
import type { Screen } from "./screen.js"
import type { Beside } from "./beside.js"
import type { Frame } from "./frame.js"

export type Bytes = Uint8Array<ArrayBuffer>
export type Triple = [number, number, number]
export type Rgb = Triple
export type Side = "left" | "right"

export interface Label { name: string, value: number, rgb: Rgb }
/** A range of intensities, shown from black to white. */
export interface Range { name: string, low: number, high: number }
/** A place to look at; `axis` is cut by the plane that shows it best. */
export interface Finding { words: string, voxel: Triple, axis: number }
/** What the network saw of a side; `affine` (4 x 4) takes its voxels to mm. */
export interface Box { shape: Triple, affine: number[][] }
export interface Head { confidence: string, sides: Partial<Record<Side, { centre_mm: Triple, box: Box }>> }

/** Of a case and a version of its mask: see app/viewer/files.py. */
export interface About {
  case: string
  grid: string
  labels: Label[]
  letters: number[]
  shape: Triple
  scan_shape: Triple
  factors: Triple
  affine: number[][]
  reduced: string
  /** To look at alone, on another grid than the scan's: see app/viewer/displays.py. */
  viewing?: boolean
  conventions: Record<string, string>
  notice: string
  windows: Range[]
  head: Head | null
  /** Of a head, where both sides are, also one that was not found; empty of a crop. */
  centres_mm: Partial<Record<Side, Triple>>
  too_small: string
  findings: Finding[]
}

/** What stands beside the first; of a scan that was moved onto it also the words for the first, and
 * for what only the first has and only the other. */
export interface Another {
  case: string
  files: string
  version: number
  words: string
  moved?: { first: string, differences: [string, string] } | null
}

/** What the page hands over: see app/views/slices.py. */
export interface Props {
  case: string
  files: string
  version: number
  newest: number
  author: string
  /** Whether the author is an account's name, which is not typed. */
  signedIn?: boolean
  convention: string
  height: string
  beside: Another | null
}

/** An error as it crosses the wire; `newest` with the code newer_version. */
export interface Refusal { code: string, message: string, hint: string, newest?: number }

/** A case that is drawn on. */
export interface OfCase { id: string, files: string, grid: string }

/** What a request about a drawing names, as it was when it was asked for. */
export interface Drawing { of: OfCase, base: number, drawing: string, replaces: string }

export interface Draft {
  base: number
  at: string | null
  drawing: string
  labels: Bytes
  replaces?: string
  isLocal?: boolean
}

/** What became of a save. */
export interface Outcome { version?: number, error?: Refusal, newest?: number }
export interface SheetEvent extends Outcome { words?: string }

export interface Store {
  get(key: string): string | null
  set(key: string, value: string): boolean
  remove(key: string): unknown
  keys(): (string | null)[]
}

export interface Answer {
  ok: boolean
  status: number
  headers: { get(name: string): string | null | undefined }
  json(): Promise<any>
  arrayBuffer(): Promise<ArrayBuffer>
}

export type Fetch = (url: string, options?: RequestInit) => Promise<Answer>

/** What the desk needs of the browser. */
export interface World {
  fetch: Fetch
  store: Store
  session: Store
  tabs: { take(name: string): Promise<boolean>, isTaken(name: string): Promise<boolean> }
  setTimeout(act: () => void, ms: number): unknown
  clearTimeout(timer: unknown): void
  /** ISO 8601 */
  now(): string
  /** A new drawing's. */
  name(): string
}

/** What is loaded; replaced as a whole, never written into. */
export interface Opened {
  readonly screen: Screen
  readonly about: About
  readonly labels: Labels
  readonly findings: readonly Finding[]
}

/** How it is looked at; replaced as a whole, never written into: see view.js. */
export interface View {
  readonly name: string
  readonly axis: number
  readonly isOutlined: boolean
  readonly isDiffering: boolean
  readonly isMeasuring: boolean
  readonly cutPercent: number
  readonly finding: number
}

/** The viewer as its parts see it: to read, and to ask; no part writes into it. */
export interface Host {
  readonly props: Props
  readonly asked: Props
  readonly opened: Opened | null
  readonly view: View
  readonly frame: Frame
  readonly beside: Beside | null
  readonly opacity: number
  readonly isRadiological: boolean
  readonly isClosed: boolean
  ask(props: Props): void
  paint(): void
  repaint(): void
  jump(voxel: Triple): void
  /** True if the key was one of the drawing's. */
  drawingKey(event: KeyboardEvent): boolean
  /** Tell the page. */
  readonly trigger: (name: string, value: unknown) => void
}
