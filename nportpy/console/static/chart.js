// One curve over time: least and greatest values, and what is known of how they came.
import uPlot from "./vendor/uplot.js";
import { html, useEffect, useMemo, useRef } from "./vendor/preact.js";
import t from "./texts.js";
import { clock, day, moment, value } from "./format.js";

const HEIGHT = 190;
const LATE = 1, WAITING = 2, GAP = 3;
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const sync = uPlot.sync("stations");

// Stretches that are not as they should be: [from, to, kind].
export function stretches(curve, end) {
  const found = [];
  const put = (from, to, kind) => {
    const last = found.at(-1);
    if (last && last[2] === kind && last[1] >= from) last[1] = to;
    else found.push([from, to, kind]);
  };
  const most = 2 * typical(curve);
  curve.times.forEach((at, i) => {
    const next = curve.times[i + 1] ?? end;
    if (curve.low[i] === null) put(at, next, GAP);
    else if (curve.how[i]) put(at, curve.low[i + 1] === null ? at : Math.min(next, at + most), curve.how[i]);
  });
  return found;
}

function typical(curve) {
  const steps = curve.times.slice(1).map((at, i) => at - curve.times[i]).filter((step) => step > 0).sort((a, b) => a - b);
  return steps[Math.floor(steps.length / 2)] ?? 1;
}

function dataOf(curve, end, holds) {
  const times = [...curve.times], low = [...curve.low], high = [...curve.high];
  if (holds && low.length && low.at(-1) !== null && end > times.at(-1)) { // a value that does not change is not archived anew
    times.push(end);
    low.push(low.at(-1));
    high.push(high.at(-1));
  }
  return [times, low, high];
}

function shade(u, ranges) {
  const names = { [LATE]: "late", [WAITING]: "waiting", [GAP]: "gap" };
  const { ctx } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  ctx.clip();
  for (const [from, to, kind] of ranges) {
    const left = u.valToPos(from, "x", true), width = Math.max(2, u.valToPos(to, "x", true) - left);
    ctx.fillStyle = css(`--${names[kind]}-back`);
    ctx.fillRect(left, u.bbox.top, width, u.bbox.height);
    ctx.fillStyle = css(`--${names[kind]}`);
    ctx.fillRect(left, u.bbox.top + u.bbox.height - 4 * devicePixelRatio, width, 4 * devicePixelRatio);
    if (kind === GAP) {
      ctx.strokeStyle = css("--gap");
      ctx.lineWidth = devicePixelRatio;
      ctx.beginPath();
      for (let x = left - u.bbox.height; x < left + width; x += 9 * devicePixelRatio) {
        ctx.moveTo(Math.max(x, left), u.bbox.top + u.bbox.height - Math.max(0, left - x));
        const end = Math.min(x + u.bbox.height, left + width);
        ctx.lineTo(end, u.bbox.top + u.bbox.height - (end - x));
      }
      ctx.globalAlpha = 0.35;
      ctx.stroke();
      ctx.globalAlpha = 1;
    }
  }
  ctx.restore();
}

function options(width, state) {
  const ink = css("--ink"), line = css("--accent"), grid = css("--line");
  const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: "12px system-ui, sans-serif" };
  const stepped = uPlot.paths.stepped({ align: 1 });
  const series = { stroke: line, width: 1.5, paths: stepped, points: { show: (u) => u.data[0].length < 60, size: 5 }, spanGaps: false };
  const time = (at) => (clock(at) === "00:00:00" ? day(at).slice(5) : clock(at).slice(0, state.span < 900 ? 8 : 5));
  return {
    width, height: HEIGHT,
    cursor: { sync: { key: sync.key }, drag: { x: true, y: false } },
    legend: { show: false },
    scales: { x: { time: true, range: () => [state.from, state.to] } },
    axes: [{ ...axis, values: (_, at) => at.map(time), space: 70 }, { ...axis, size: 78 }],
    series: [{}, series, series],
    bands: [{ series: [2, 1], fill: css("--accent-back") }],
    hooks: {
      drawClear: [(u) => shade(u, state.ranges)],
      draw: [() => { if (state.mark) { performance.measure("chart", state.mark); state.mark = ""; } }],
      setCursor: [(u) => { if (state.say) state.say.textContent = said(u, state); }],
      setSelect: [(u) => {
        if (u.select.width < 8) return;
        const [from, to] = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
        u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        state.choose(from, to);
      }],
    },
  };
}

function said(u, state) {
  const i = u.cursor.idx;
  if (i === null || i === undefined || !u.data[0].length) return "";
  const at = u.data[0][i], low = u.data[1][i], high = u.data[2][i];
  const range = state.ranges.find(([from, to]) => at >= from && at <= to);
  const kind = range ? ` – ${[, t.stations.late, t.stations.waiting, t.stations.gap][range[2]]}` : "";
  return low === null ? `${moment(at)}${kind}` : `${moment(at)}: ${low === high ? value(low) : `${value(low)} … ${value(high)}`} ${state.unit}${kind}`;
}

export function Chart({ curve, from, to, holds, mark, choose }) {
  const place = useRef(null), say = useRef(null), plot = useRef(null), state = useRef({});
  const end = Math.min(to, Date.now() / 1000);
  const [data, ranges] = useMemo(() => [dataOf(curve, end, holds), stretches(curve, end)], [curve, from, to, holds]);
  Object.assign(state.current, { from, to, span: to - from, unit: curve.unit, choose, say: say.current, ranges });
  useEffect(() => {
    const element = place.current;
    plot.current = new uPlot(options(element.clientWidth, state.current), null, element); // what it shows is set below
    const sizes = new ResizeObserver(() => plot.current.setSize({ width: element.clientWidth, height: HEIGHT }));
    sizes.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const again = () => { plot.current.destroy(); plot.current = new uPlot(options(element.clientWidth, state.current), plot.current.data, element); };
    dark.addEventListener("change", again);
    return () => { sizes.disconnect(); dark.removeEventListener("change", again); plot.current.destroy(); };
  }, []);
  useEffect(() => {
    state.current.say = say.current;
    if (mark && state.current.marked !== mark) state.current.mark = state.current.marked = mark;
    plot.current.setData(data);
  }, [data]);
  return html`<figure class="chart"><figcaption>${curve.tag} ${curve.unit && html`<small>${curve.unit}</small>`} <output ref=${say}></output></figcaption>
    <div class="plot" ref=${place} role="img" aria-label=${`${curve.tag} ${curve.unit}`}></div></figure>`;
}
