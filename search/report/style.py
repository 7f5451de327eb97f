"""The page's style sheet: one set of colours for light screens, one for dark ones."""

from __future__ import annotations

_LIGHT = """\
--page: #fbfbfa; --card: #ffffff; --ink: #1c2530; --quiet: #66717e; --rule: #e3e6ea;
--accent: #1f6fb8; --good: #2d8a57; --faint: #b6c4d3; --warm: #c4701b; --fill: #d8e8f7"""
_DARK = """\
--page: #0e1216; --card: #161c22; --ink: #e5eaf0; --quiet: #97a3b0; --rule: #29323b;
--accent: #6cb2f2; --good: #63c08d; --faint: #46586a; --warm: #e8a353; --fill: #1d3a54"""

STYLE = f"""\
:root {{ color-scheme: light dark; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
* {{ box-sizing: border-box }}
body {{ margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Helvetica Neue", Helvetica, Arial, sans-serif }}
main {{ max-width: 1080px; margin: 0 auto; padding: 36px 20px 64px }}
h1 {{ font-size: 27px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em }}
h2 {{ font-size: 18px; margin: 38px 0 10px }}
h3 {{ font-size: 15px; margin: 0 0 8px }}
p {{ margin: 0 0 10px; max-width: 74ch }}
.quiet, .note {{ color: var(--quiet) }}
.note {{ font-size: 13.5px }}
.lead {{ font-size: 17px; max-width: 70ch; margin: 12px 0 20px }}
.card {{ background: var(--card); border: 1px solid var(--rule); border-radius: 8px;
  padding: 16px 18px; margin: 0 0 14px }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px }}
.tile {{ background: var(--card); border: 1px solid var(--rule); border-radius: 8px;
  padding: 12px 14px }}
.tile b {{ display: block; font-size: 22px; font-weight: 600; line-height: 1.25 }}
.tile span {{ color: var(--quiet); font-size: 13px }}
.pair {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 14px }}
.pair > .card {{ margin: 0; min-width: 0 }}
.wide {{ overflow-x: auto }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: 14px }}
th {{ text-align: left; font-weight: 600; color: var(--quiet); font-size: 12.5px;
  border-bottom: 1px solid var(--rule); padding: 4px 10px 6px 0; vertical-align: bottom }}
td {{ padding: 5px 10px 5px 0; border-bottom: 1px solid var(--rule); vertical-align: top }}
td:nth-child(2) {{ white-space: nowrap }}
tr:last-child td {{ border-bottom: 0 }}
.number {{ text-align: right; white-space: nowrap }}
tr.baseline td {{ background: color-mix(in srgb, var(--warm) 9%, transparent) }}
tr.baseline td:first-child {{ box-shadow: inset 3px 0 var(--warm); padding-left: 8px }}
td:first-child, th:first-child {{ padding-left: 8px }}
.choices {{ color: var(--quiet); font: 12.5px/1.45 ui-monospace, Menlo, Consolas, monospace;
  max-width: 300px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap }}
code, pre {{ font: 13px/1.5 ui-monospace, Menlo, Consolas, monospace }}
pre {{ margin: 8px 0 0; overflow-x: auto; background: var(--page); border-radius: 6px;
  padding: 10px 12px }}
a {{ color: var(--accent) }}
summary {{ cursor: pointer; color: var(--accent); font-size: 13.5px; margin-top: 6px }}
.chart {{ width: 100%; height: auto; display: block }}
.alone .chart {{ max-width: 640px }}
.chart text {{ font-size: 12px; fill: var(--quiet); text-anchor: middle }}
.chart text.y {{ text-anchor: end }}
.chart text.level {{ text-anchor: end; fill: var(--warm) }}
.chart .label {{ font-size: 12.5px }}
.grid {{ stroke: var(--rule); stroke-width: 1 }}
line.level {{ stroke: var(--warm); stroke-width: 1.4; stroke-dasharray: 5 4 }}
path {{ fill: none }}
path.faint {{ stroke: var(--faint); stroke-width: 1; opacity: .65 }}
path.best {{ stroke: var(--accent); stroke-width: 2.2 }}
path.good {{ stroke: var(--good); stroke-width: 1.6; opacity: .9 }}
path.base {{ stroke: var(--warm); stroke-width: 1.8; stroke-dasharray: 5 4 }}
circle.faint {{ fill: var(--faint) }}
circle.best {{ fill: var(--accent) }}
circle.good {{ fill: var(--good) }}
circle.base {{ fill: var(--warm) }}
.ruler {{ width: 160px; height: 20px; display: block }}
.rule {{ stroke: var(--rule) }}
.ring {{ fill: var(--card); stroke: var(--accent); stroke-width: 1.6 }}
.dot {{ fill: var(--accent) }}
.error {{ stroke: var(--accent); stroke-width: 2 }}
.bar {{ display: grid; grid-template-columns: minmax(90px, 30%) 1fr minmax(70px, auto); gap: 10px;
  align-items: center; font-size: 13.5px; margin: 3px 0 }}
.bar-label {{ overflow: hidden; text-overflow: ellipsis; white-space: nowrap }}
.bar-track {{ height: 10px; background: var(--page); border-radius: 5px }}
.bar-fill {{ display: block; height: 10px; background: var(--accent); border-radius: 5px;
  min-width: 2px }}
.bar-text {{ color: var(--quiet); text-align: right; font-variant-numeric: tabular-nums }}
.options {{ table-layout: fixed; margin-bottom: 12px }}
.options th:not(:first-child) {{ width: 76px }}
.options td:first-child {{ overflow-wrap: anywhere }}
.cell {{ display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 20px }}
.cell > * {{ min-width: 0 }}
@media (max-width: 820px) {{ .cell {{ grid-template-columns: minmax(0, 1fr) }} }}
.drawing svg {{ max-width: 100%; height: auto; max-height: 460px }}
.equations {{ overflow-x: auto }}
.equations div {{ margin: 9px 0 }}
.equations math {{ font-size: 16.5px }}
.key {{ display: inline-block; width: 20px; height: 0; border-top: 2.4px solid; margin: 0 5px 4px 0;
  vertical-align: middle }}
.keys span {{ margin-right: 16px; font-size: 13px; color: var(--quiet); white-space: nowrap }}
"""
