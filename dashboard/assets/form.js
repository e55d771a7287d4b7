// The patient form: reports entries to the server and shows what the server says about them.
// It reads no number and computes no risk, and keeps nothing outside this page's memory.

const IDLE_MS = 15 * 60_000 // without a sign of the person: the patient is cleared
const SIGN_MS = 60_000 // at most one sign of the person in this time
const PAUSE_MS = 300 // after a key press, before the entries are reported
const WAIT_MS = 80 // until Streamlit has sent what it was told
const HANG_MS = 25_000 // longer than the server waits for the API
const states = new WeakMap()

export default function ({ parentElement, data, setStateValue, setTriggerValue }) {
  const form = parentElement.querySelector("form")
  if (!states.has(form)) states.set(form, start(form))
  const state = states.get(form)
  state.post = message =>
    message.kind === "entries"
      ? setStateValue("entries", message)
      : setTriggerValue("message", message)
  state.receive(data) // Streamlit may call again before it is done, so there is nothing to clean up
}

function start(form) {
  const state = { case: "", revision: 0, answers: 0, toldAt: Date.now(), pending: false }
  const timers = {}
  const said = form.querySelector(".said")
  const gone = new AbortController() // ends what outlives the form: another page was opened
  const listen = (target, type, act) => target.addEventListener(type, act, { signal: gone.signal })
  const entries = () => Object.fromEntries(new FormData(form))
  const after = (name, ms, act) => {
    clearTimeout(timers[name])
    timers[name] = setTimeout(act, ms)
  }
  const tell = kind => {
    clearTimeout(timers.pause)
    state.pending = false
    state.toldAt = Date.now()
    state.post({ kind, case: state.case, revision: state.revision, entries: entries(), at: Date.now() })
  }

  const flush = () => state.pending && form.isConnected && tell("entries")

  function changed(event) {
    state.revision += 1
    state.pending = true
    state.note = ""
    show()
    if (event.target.type === "radio") flush()
    else after("pause", PAUSE_MS, flush)
  }

  function busy(is) {
    form.toggleAttribute("data-waiting", is)
    form.querySelector("[type=submit]").setAttribute("aria-disabled", is)
    clearTimeout(timers.hang)
    if (is) after("hang", HANG_MS, () => (busy(false), show()))
  }

  function show() {
    const { data } = state
    const stale = data.estimated !== null && data.estimated !== state.revision
    form.toggleAttribute("data-changed", stale)
    const waiting = form.hasAttribute("data-waiting")
    const answer = data.revision === state.revision ? data.said : ""
    say(waiting ? form.dataset.busy : stale ? form.dataset.stale : answer || state.note)
    const now = entries()
    for (const field of form.querySelectorAll(".field")) {
      const { name, hint } = field.dataset
      const same = (now[name] ?? "") === (data.entries[name] ?? "")
      const typing = field.contains(document.activeElement) && timers.typing === name
      let [level, text] = (same && data.notes[name]) || ["", hint]
      if (typing && level !== "converted") [level, text] = ["", hint] // not before it is all typed
      field.dataset.level = level
      field.querySelector(".note").textContent = text
      const box = field.querySelector("input[type=text], [role=radiogroup]")
      if (level === "refused") box.setAttribute("aria-invalid", "true")
      else box.removeAttribute("aria-invalid")
    }
  }

  function say(text) {
    if (said.textContent !== text) said.textContent = text
  }

  function fill(values) {
    form.reset()
    for (const [name, value] of Object.entries(values)) form.elements[name].value = value // also of radios
  }

  function focusOn(name) {
    const first = form.querySelector(`[data-name="${name}"]`)
    first?.querySelector("input[type=text], input:checked, input")?.focus()
  }

  function sign() {
    if (!form.isConnected) {
      gone.abort()
      return Object.values(timers).forEach(clearTimeout)
    }
    after("idle", IDLE_MS, () => form.isConnected && tell("new"))
    if (Date.now() - state.toldAt > SIGN_MS) tell("entries")
  }

  state.receive = data => {
    state.data = data
    if (state.case !== data.case) {
      const lost = state.case && data.begun && state.revision > 0 // the server began anew
      state.case = data.case
      state.answers = data.answers
      state.note = lost && form.hasAttribute("data-waiting") ? form.dataset.lost : ""
      busy(false)
      if (lost) return tell("entries")
      fill(data.entries)
      state.revision = data.revision
    }
    const answered = state.answers !== data.answers
    if (answered) {
      state.answers = data.answers
      timers.typing = null
      busy(false)
    }
    show()
    if (answered && data.refused) focusOn(data.refused)
  }

  listen(form, "input", event => {
    timers.typing = event.target.type === "text" ? event.target.name : null
    changed(event)
  })
  listen(form, "focusout", () => {
    flush()
    timers.typing = null
    show()
  })
  listen(form, "submit", event => {
    event.preventDefault()
    if (form.hasAttribute("data-waiting")) return
    busy(true)
    show()
    tell("estimate")
  })
  form.querySelector("[data-new]")?.addEventListener("click", () => tell("new"))
  listen(form, "keydown", event => {
    const { target, key } = event
    if (key === "Enter" && target.tagName === "INPUT") event.preventDefault() // only the button sends
    if (target.type !== "radio" || key.length !== 1 || key === " ") return
    const options = [...form.querySelectorAll(`input[name="${target.name}"]`)]
    const at = options.indexOf(target)
    const found = [...options.slice(at + 1), ...options.slice(0, at + 1)].find(option =>
      option.parentElement.textContent.trim().toLowerCase().startsWith(key.toLowerCase()))
    found?.focus()
    found?.click()
  })
  // Streamlit sends a moment later, and what it sends after a link to another page would take that
  // page's place: the link waits for it.
  document.addEventListener("click", event => {
    flush()
    const link = event.target.closest?.("a, button")
    if (!link || form.contains(link) || Date.now() - state.toldAt > WAIT_MS) return
    event.preventDefault()
    event.stopImmediatePropagation()
    setTimeout(() => link.click(), WAIT_MS + 20)
  }, { capture: true, signal: gone.signal })
  for (const type of ["keydown", "pointerdown", "wheel"]) listen(document, type, sign)
  sign()
  form.querySelector("fieldset").disabled = false
  return state
}
