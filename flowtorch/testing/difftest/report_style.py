"""How the reports look, and how they sort and filter themselves."""

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1d2430; --soft: #667; --line: #dde1e7;
  --bar: #3b6fb6; --low: #b65c3b; --good: #2a8a4a; --warn: #a06a00; --bad: #c92a2a }
@media (prefers-color-scheme: dark) {
  :root { --back: #14181f; --text: #e4e8ee; --soft: #96a0ae; --line: #2b323d;
    --bar: #7aa7e8; --low: #e8a07a; --good: #5fc983; --warn: #e0ac4a; --bad: #ff8080 } }
body { background: var(--back); color: var(--text); font: 14px/1.5 system-ui, sans-serif;
  margin: 2rem auto; max-width: 90rem; padding: 0 1.5rem }
h1 { font-size: 1.5rem; margin: 0 }
p { color: var(--soft); margin: .3rem 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; vertical-align: top; border-bottom: 1px solid var(--line) }
th { cursor: pointer; user-select: none; position: sticky; top: 0; background: var(--back) }
th::after { content: ' \\2195'; color: var(--soft) }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
code, pre { font: 12px/1.5 ui-monospace, monospace }
pre { margin: 0 0 .5rem; white-space: pre-wrap; overflow-wrap: anywhere; max-width: 46rem }
td:last-child { width: 45% }
svg .h { fill: var(--bar) }
svg .l { fill: var(--low) }
svg text { fill: var(--soft); font-size: 11px }
.v { border-radius: 1rem; padding: .05rem .6rem; white-space: nowrap; border: 1px solid currentColor; font-size: 12px }
.v.good { color: var(--good) }
.v.warn { color: var(--warn) }
.v.bad { color: var(--bad) }
.v.info { color: var(--bar) }
.bar { display: flex; gap: .5rem; flex-wrap: wrap; margin: 1rem 0 }
.bar button, input { font: inherit; color: inherit; background: none; border: 1px solid var(--line);
  border-radius: .4rem; padding: .25rem .7rem; cursor: pointer }
.bar button.on { border-color: var(--bar) }
.numbers { width: auto; margin: .4rem 0; font: 12px/1.5 ui-monospace, monospace; font-variant-numeric: tabular-nums }
.numbers td { padding: 0 .7rem 0 0; border: 0; text-align: right; width: auto }
.numbers tr:first-child { color: var(--soft) }
details summary { cursor: pointer; color: var(--soft) }
.box { border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; margin: 1rem 0 }
polyline { fill: none; stroke-width: 1.5 }
.total { stroke: var(--bar) }
.added { stroke: var(--low) }
"""
SCRIPT = """
const body = document.querySelector('tbody'), rows = [...body.children]
document.querySelectorAll('thead th').forEach((th, k) => th.onclick = () => {
  const up = th.dataset.up = th.dataset.up === '1' ? '' : '1'
  const key = r => r.cells[k].dataset.k ?? r.cells[k].textContent
  rows.sort((a, b) => {
    const x = key(a), y = key(b), d = x - y
    return (isNaN(d) ? x.localeCompare(y) : d) * (up ? 1 : -1)
  })
  body.append(...rows)
})
let verdict = '', word = ''
const show = () => rows.forEach(r => {
  const kind = verdict === 'explained' ? r.dataset.e === '1' : !verdict || r.dataset.v === verdict
  r.hidden = !kind || !r.dataset.n.includes(word)
})
const buttons = document.querySelectorAll('.bar button')
buttons.forEach(b => b.onclick = () => {
  verdict = verdict === b.dataset.v ? '' : b.dataset.v
  buttons.forEach(o => o.classList.toggle('on', o.dataset.v === verdict))
  show()
})
const search = document.querySelector('input')
if (search) search.oninput = () => { word = search.value.toLowerCase(); show() }
"""
