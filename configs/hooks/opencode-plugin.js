// Spool producer for OpenCode: leaves one drop for each tool call, at the end of
// each turn, and at each compaction. Put it at ~/.config/opencode/plugins/ or, for
// one project, at .opencode/plugins/; nothing else is needed, and no agent need
// run. It is for OpenCode 1 (1.3.4 and later) and OpenCode 2.
//
// A drop is a raw hook event. hook_event_name is OpenCode's own name of it,
// tool_name the tool, cwd the directory that OpenCode works in, and the rest is
// what OpenCode tells, under its own names:
//
//   OpenCode 1  tool.execute.after     sessionID, callID, args, title, output, metadata
//               session.idle, session.compacted             sessionID
//   OpenCode 2  tool.execute.after     sessionID, agent, messageID, id, input, status, result or error
//               session.execution.succeeded, .failed, .interrupted    sessionID and more
//               session.compaction     sessionID
//
// The project is the nearest directory upwards from that directory that has a
// .spool, else the directory itself. Its .spool is made on first use, and the
// project registered with the user's agent. As in hook.sh, links and other
// people's directories are refused: a cloned repository may bring a .spool that
// leads to ~/.ssh.
//
// Nothing here throws into OpenCode or keeps it waiting: drops are written one
// after the other in the background, a tool call waits for its own at most
// `patience`, and what cannot be written is let go.

import { promises as fs } from "node:fs"

const patience = 500 // milliseconds
const maxDrop = 1 << 20 // bytes; what is larger would be rejected unread
const maxWaiting = 100 // drops
const maxSessions = 1000 // that are remembered

// Strings are cut to the first of these lengths that makes the drop small enough.
const cuts = [64 << 10, 8 << 10, 1 << 10, 128]

// cut keeps head and tail of a string, without half a character at either.
function cut(text, most) {
  if (text.length <= most) return text
  let head = most >> 1
  let tail = text.length - (most - head)
  if (/[\ud800-\udbff]/.test(text[head - 1])) head--
  if (/[\udc00-\udfff]/.test(text[tail])) tail++
  const gone = Buffer.byteLength(text.slice(head, tail))
  return `${text.slice(0, head)}…[${gone} bytes cut]…${text.slice(tail)}`
}

// encode makes JSON of an event in at most maxDrop bytes.
function encode(event) {
  for (const most of cuts) {
    const shorten = (_, value) => {
      if (typeof value === "string") return cut(value, most)
      return typeof value === "bigint" ? String(value) : value
    }
    const text = JSON.stringify(event, shorten)
    if (Buffer.byteLength(text) <= maxDrop) return text
  }
  return undefined
}

// essence is what is left of an event that cannot be encoded: it is circular, or
// its strings are not what makes it long.
function essence(event) {
  const short = {}
  for (const [name, value] of Object.entries(event)) {
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") short[name] = value
  }
  return short
}

function toText(event) {
  try {
    return encode(event) ?? encode(essence(event))
  } catch {
    return encode(essence(event))
  }
}

// stat looks at a path itself, not at what a link there leads to.
async function stat(path) {
  try {
    return await fs.lstat(path)
  } catch {
    return undefined
  }
}

async function ours(path) {
  const info = await stat(path)
  return info !== undefined && info.isDirectory() && (!process.getuid || info.uid === process.getuid())
}

async function attempt(what) {
  try {
    await what
    return true
  } catch {
    return false
  }
}

async function findProject(directory) {
  for (let up = directory; ; up = up.slice(0, up.lastIndexOf("/"))) {
    if ((await stat(`${up}/.spool`))?.isDirectory()) return up
    if (!up.includes("/")) return directory
  }
}

// store writes a new file beside its place and renames it there. It neither
// replaces a file nor follows a link in writing.
async function store(beside, place, text) {
  const stored = await attempt(fs.writeFile(beside, text, { flag: "wx", mode: 0o600 })) && await attempt(fs.rename(beside, place))
  if (!stored) await attempt(fs.unlink(beside))
  return stored
}

let count = 0

// uniqueName sorts by time and then by the order of its making.
function uniqueName() {
  const order = String(count++ % 1e6).padStart(6, "0")
  const random = Math.random().toString(36).slice(2, 12)
  return `${Date.now()}-${process.pid}-${order}-${random}`
}

// registered reports whether the agent has been told of the project in this
// place: the link tells also where the spool was then, for it may have been moved
// or copied since. Where there are no links, a file has to do.
async function registered(spool) {
  const mark = await stat(`${spool}/.registered`)
  if (!mark?.isSymbolicLink()) return mark?.isFile() ?? false
  try {
    const then = await fs.stat(`${spool}/.registered`)
    const now = await fs.stat(`${spool}/tmp`)
    return then.ino === now.ino && then.dev === now.dev
  } catch {
    return false
  }
}

// register tells the agent of the project, by a file of any name with its path.
async function register(project) {
  const { XDG_STATE_HOME: state = "", HOME: home = "" } = process.env
  let projects
  if (state.startsWith("/")) projects = `${state}/spool-agent/projects`
  else if (home.startsWith("/")) projects = `${home}/.local/state/spool-agent/projects`
  else return
  const name = uniqueName()
  const path = await fs.realpath(project)
  await fs.mkdir(projects, { recursive: true, mode: 0o700 })
  if (!(await store(`${projects}/.${name}`, `${projects}/${name}`, `${path}\n`))) return
  const mark = `${project}/.spool/.registered`
  await attempt(fs.unlink(mark))
  if (!(await attempt(fs.symlink(`${path}/.spool/tmp`, mark)))) await attempt(fs.writeFile(mark, "\n", { flag: "wx", mode: 0o600 }))
}

async function drop(directory, text) {
  const project = await findProject(directory)
  const spool = `${project}/.spool`
  const ready = async () => await ours(spool) && await ours(`${spool}/tmp`) && await ours(`${spool}/incoming`)
  if (!(await ready()) || !(await registered(spool))) {
    await attempt(fs.mkdir(spool, { mode: 0o700 }))
    if (!(await ours(spool))) return
    await attempt(fs.writeFile(`${spool}/.gitignore`, "*\n", { flag: "wx", mode: 0o600 }))
    // Once, whoever made the spool; not again if the project was removed since.
    // The directories come last: who is killed between leaves a known project.
    if (!(await registered(spool)) && await attempt(fs.access(spool, fs.constants.W_OK))) await attempt(register(project))
    await attempt(fs.mkdir(`${spool}/tmp`, { mode: 0o700 }))
    await attempt(fs.mkdir(`${spool}/incoming`, { mode: 0o700 }))
    if (!(await ready())) return
  }
  const name = `${uniqueName()}.json`
  await store(`${spool}/tmp/${name}`, `${spool}/incoming/${name}`, text)
}

// quietly makes a function of a hook that never throws, whatever it is given.
function quietly(hook) {
  return async (...given) => {
    try {
      await hook(...given)
    } catch {}
  }
}

// producer returns the two functions that everything below needs: send hands
// over an event, and settle waits until all that were handed over are stored.
function producer(directory) {
  let waiting = 0
  let last = Promise.resolve()
  const settle = () => {
    let timer
    const enough = new Promise((resolve) => {
      timer = setTimeout(resolve, patience)
    })
    return Promise.race([last, enough]).finally(() => clearTimeout(timer))
  }
  const send = (name, tool, rest) => {
    if (waiting >= maxWaiting) return
    let text
    try {
      const own = { hook_event_name: name, tool_name: tool, cwd: directory }
      text = toText({ ...own, ...rest, ...own })
    } catch {}
    if (text === undefined) return
    waiting++
    last = last.then(() => attempt(drop(directory, text))).finally(() => waiting--)
  }
  return { send, settle }
}

// For OpenCode 1.
async function server(input) {
  const directory = input?.directory
  if (typeof directory !== "string") return {}
  const { send, settle } = producer(directory)
  return {
    "tool.execute.after": quietly(async ({ tool, ...call }, result) => {
      send("tool.execute.after", tool, { ...call, ...result })
      await settle()
    }),
    event: quietly(async ({ event }) => {
      if (event.type !== "session.idle" && event.type !== "session.compacted") return
      send(event.type, undefined, event.properties)
      await settle()
    }),
    dispose: settle,
  }
}

const turnEnds = ["session.execution.succeeded", "session.execution.failed", "session.execution.interrupted"]

// For OpenCode 2, which runs one server for all directories: its events are of
// all of them, so only sessions that the hooks have shown to be of this one count.
async function setup(context) {
  const directory = context?.location?.directory
  if (typeof directory !== "string") return
  const { send, settle } = producer(directory)
  const sessions = new Set()
  const seen = (id) => {
    sessions.delete(id)
    sessions.add(id)
    if (sessions.size > maxSessions) sessions.delete(sessions.values().next().value)
  }
  const hook = quietly((domain, name, f) => context[domain].hook(name, quietly(f)))

  await hook("session", "prompt", async ({ sessionID }) => seen(sessionID))
  await hook("tool", "execute.after", async ({ tool, ...call }) => {
    seen(call.sessionID)
    send("tool.execute.after", tool, call)
    await settle()
  })
  await hook("session", "compaction", async ({ sessionID }) => {
    send("session.compaction", undefined, { sessionID })
    await settle()
  })

  const controller = new AbortController()
  const listen = async () => {
    for await (const event of context.event.subscribe({ signal: controller.signal })) {
      if (turnEnds.includes(event?.type) && sessions.has(event.data?.sessionID)) {
        send(event.type, undefined, event.data)
      }
    }
  }
  attempt(listen())
  return async () => {
    controller.abort()
    await settle()
  }
}

export default { id: "spool-agent", server, setup }
