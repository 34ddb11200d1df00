// Gives the plugin its fixtures, as OpenCode 1 or OpenCode 2 would:
// node opencode-run.mjs PLUGIN DIRECTORY FIXTURES
import { readFileSync } from "node:fs"

const [plugin, directory, fixtures] = process.argv.slice(2)
const { server, setup } = (await import(plugin)).default

const hooks = {}
const queue = []
let wake = () => {}
const register = (domain) => ({ hook: async (name, f) => (hooks[`${domain} ${name}`] = f) })
async function* subscribe({ signal }) {
  signal.addEventListener("abort", () => wake())
  while (!signal.aborted) {
    while (queue.length > 0) yield queue.shift()
    await new Promise((resolve) => (wake = resolve))
  }
}

const one = await server({ directory })
const stop = await setup({
  location: { directory },
  session: register("session"),
  tool: register("tool"),
  event: { subscribe },
})
// event is an event of OpenCode 1 among such as the plugin passes over; after an
// error, session.idle comes twice.
async function event(event) {
  const { sessionID } = event.properties
  await one.event({ event: { type: "session.status", properties: { sessionID, status: { type: "busy" } } } })
  await one.event({ event: { type: "message.part.updated", properties: { sessionID, part: { type: "text", text: "" } } } })
  await one.event({ event })
  if (event.type === "session.idle") await one.event({ event })
}

for (const line of readFileSync(fixtures, "utf8").trim().split("\n")) {
  const { event: given } = JSON.parse(line)
  if (given.api === 1 && given.call) await one["tool.execute.after"](given.call, given.result)
  else if (given.message) await one["chat.message"](given.message, given.prompt)
  else if (given.api === 1) await event(given.event)
  else if (given.prompt) await hooks["session prompt"](given.prompt)
  else if (given.tool) await hooks["tool execute.after"](given.tool)
  else if (given.compaction) await hooks["session compaction"](given.compaction)
  else {
    queue.push({ type: given.event.type, data: { sessionID: "of another directory" } }, { type: "session.text.delta" }, given.event)
    wake()
    await new Promise((resolve) => setImmediate(resolve))
  }
}
// None of this may throw.
await one["tool.execute.after"]({ get tool() { throw new Error("no") } })
await one.event(null ?? undefined)
await (await server({ directory: "/nonexistent/\0" }))["tool.execute.after"]({ tool: "x" }, {})
await server(undefined)
await setup(undefined)
await setup({ location: { directory } })
await stop()
