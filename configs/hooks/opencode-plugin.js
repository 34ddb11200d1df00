// Spool producer for OpenCode: leaves one drop for each prompt, tool call and
// answer, at the end of each turn, and at each compaction. Put it at ~/.config/opencode/plugins/ or, for
// one project, at .opencode/plugins/; nothing else is needed, and no agent need
// run. It is for OpenCode 1 (1.3.4 and later) and OpenCode 2.
//
// A drop is a raw hook event. hook_event_name is OpenCode's own name of it,
// tool_name the tool, cwd the directory that OpenCode works in, and the rest is
// what OpenCode tells, under its own names:
//
//   OpenCode 1  chat.message           sessionID, message, parts: a prompt
//               tool.execute.after     sessionID, callID, args, title, output, metadata
//               message.part.updated   sessionID, part: a tool call that failed, or a text of the model's
//               session.error          sessionID, error
//               session.idle, session.compacted             sessionID
//   OpenCode 2  session.prompt         sessionID, messageID, prompt, metadata, delivery
//               tool.execute.after     sessionID, agent, messageID, id, input, status, result or error
//               session.execution.succeeded, .failed, .interrupted    sessionID and more
//               session.compaction     sessionID
//
// PROTOCOL.md of the spool agent says in which project a drop is stored (R33), and
// what makes that registered (R32). Its .spool is made on first use. As in hook.sh,
// links and other people's directories are refused: a cloned repository may bring
// a .spool that leads to ~/.ssh.
//
// Nothing here throws into OpenCode or keeps it waiting: drops are written one
// after the other in the background, a tool call waits for its own at most
// `patience`, and what cannot be written is let go.

import { promises as fs } from "node:fs"
import { dirname, isAbsolute, join } from "node:path"

const patience = 500 // milliseconds
const maxWaiting = 100 // drops
const maxSessions = 1000 // that are remembered

// encode makes JSON of an event. Of one that has no JSON, since it is circular,
// the simple members are left.
function encode(event) {
  try {
    return JSON.stringify(event, (_, value) => (typeof value === "bigint" ? String(value) : value))
  } catch {
    const simple = ([, value]) => ["string", "number", "boolean"].includes(typeof value)
    return JSON.stringify(Object.fromEntries(Object.entries(event).filter(simple)))
  }
}

// stat describes the path itself, not what a link there leads to.
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

// same reports whether both paths lead to one file.
async function same(a, b) {
  try {
    const [x, y] = await Promise.all([fs.stat(a), fs.stat(b)])
    return x.ino === y.ino && x.dev === y.dev
  } catch {
    return false
  }
}

const atHome = (path) => same(path, process.env.HOME ?? "")

// findProject returns the project for a directory (R33), by its path without links.
async function findProject(directory) {
  const start = await fs.realpath(directory)
  for (let up = start; ; up = dirname(up)) {
    const top = dirname(up) === up
    if (up === start || (!top && !(await atHome(up)))) {
      if ((await ours(join(up, ".spool"))) || (await stat(join(up, ".git")))) return up
    }
    if (top) return start
  }
}

// off reports whether nothing is to be stored: recording is off, or the spool has
// the settings of another program.
async function off(project) {
  const has = (name) => stat(join(project, ".spool", name))
  if (await has("off")) return true
  return Boolean((await has("config.toml")) || (await has("rules.toml"))) && (await atHome(project))
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

// registered reports whether the agent knows of the project in this place, or
// shall not: the mark leads to its registration, or is a plain empty file.
async function registered(project) {
  const mark = join(project, ".spool", ".registered")
  const info = await stat(mark)
  if (info?.isFile() && info.size === 0) return true
  try {
    const file = await fs.stat(mark)
    if (!file.isFile() || file.size > 65536) return false
    const [line] = (await fs.readFile(mark, "utf8")).split("\n")
    return line === project.split("\n")[0] || (await same(line, project))
  } catch {
    return false
  }
}

// register tells the agent of the project.
async function register(project) {
  const home = process.env.HOME ?? ""
  if (!isAbsolute(home)) return
  const projects = join(home, ".local/state/spool-agent/projects")
  const name = uniqueName()
  const text = `${project}\n`
  await fs.mkdir(projects, { recursive: true, mode: 0o700 })
  if (!(await store(join(projects, `.${name}`), join(projects, name), text))) return
  const mark = join(project, ".spool", ".registered")
  await attempt(fs.unlink(mark))
  if (!(await attempt(fs.symlink(join(projects, name), mark)))) await attempt(fs.writeFile(mark, text, { flag: "wx", mode: 0o600 }))
}

// makeDir makes a directory that is private whatever the umask says.
async function makeDir(path) {
  if (await attempt(fs.mkdir(path, { mode: 0o700 }))) await attempt(fs.chmod(path, 0o700))
}

async function drop(directory, text) {
  const project = await findProject(directory)
  if (await off(project)) return
  const spool = join(project, ".spool")
  const ready = async () => (await ours(spool)) && (await ours(join(spool, "tmp"))) && (await ours(join(spool, "incoming")))
  if (!(await ready()) || !(await registered(project))) {
    await makeDir(spool)
    if (!(await ours(spool))) return
    await attempt(fs.writeFile(join(spool, ".gitignore"), "*\n", { flag: "wx", mode: 0o600 }))
    // The directories come last: who is killed between leaves a known project.
    if (!(await registered(project)) && (await attempt(fs.access(spool, fs.constants.W_OK)))) await attempt(register(project))
    await makeDir(join(spool, "tmp"))
    await makeDir(join(spool, "incoming"))
    if (!(await ready())) return
  }
  const name = `${uniqueName()}.opencode.json`
  await store(join(spool, "tmp", name), join(spool, "incoming", name), text)
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
      text = encode({ ...own, ...rest, ...own })
    } catch {}
    if (text === undefined) return
    waiting++
    last = last.then(() => attempt(drop(directory, text))).finally(() => waiting--)
  }
  return { send, settle }
}

const told = ["session.compacted", "session.error"]

// isEnd reports whether a message has got a whole text of the model's, or a tool
// call that failed: tool.execute.after is for those that succeed.
function isEnd(type, part) {
  if (type !== "message.part.updated") return false
  if (part.type === "text") return Boolean(part.time?.end)
  return part.type === "tool" && part.state?.status === "error"
}

// For OpenCode 1.
async function server(input) {
  const directory = input?.directory
  if (typeof directory !== "string") return {}
  const { send, settle } = producer(directory)
  const busy = new Set() // sessions
  return {
    "tool.execute.after": quietly(async ({ tool, ...call }, result) => {
      send("tool.execute.after", tool, { ...call, ...result })
      await settle()
    }),
    "chat.message": quietly(async ({ sessionID }, prompt) => {
      send("chat.message", undefined, { sessionID, ...prompt })
      await settle()
    }),
    event: quietly(async ({ event: { type, properties } }) => {
      if (type === "session.status" && properties.status?.type === "busy") busy.add(properties.sessionID)
      // After an error, session.idle comes twice.
      const tells = type === "session.idle" ? busy.delete(properties.sessionID) : told.includes(type) || isEnd(type, properties.part)
      if (!tells) return
      send(type, properties.part?.tool, properties)
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

  await hook("session", "prompt", async (prompt) => {
    seen(prompt.sessionID)
    send("session.prompt", undefined, prompt)
    await settle()
  })
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
