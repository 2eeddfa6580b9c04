/**
 * The picture of a run: rates on a logarithmic axis, and how long the slowest answers took.
 *
 * @module
 */
import type { SeriesOption } from "echarts";
import type { Figures } from "./figures.ts";
import type { Plot } from "./svg.ts";

const SHAPES = ["1x1", "8x1", "64x1", "8x16", "1x256"];
const BAR_COLOURS = ["#2a6fbb", "#8fbbe4", "#c9c9c9", "#d9822b", "#a23b3b"];
const LINE_COLOURS = ["#d9822b", "#a23b3b"];
const WIDTH = 1_200;
const PANEL_HEIGHT = 300;
const LEFT = 60, RIGHT = 30, TOP = 80, BELOW = 75;

/** One panel: bars in groups, and lines across for what has no groups. */
interface Panel {
  readonly title: string;
  readonly categories: readonly string[];
  /** Of each: its name, and a bar for each category; `undefined` where it was not measured. */
  readonly bars: readonly (readonly [name: string, values: readonly (number | undefined)[]])[];
  readonly lines: readonly (readonly [name: string, value: number | undefined])[];
}

/** The plot of a run; what was not measured is left out. */
export function ratesPlot(figures: readonly Figures[]): Plot {
  const byName = new Map(figures.map((each) => [each.name, each]));
  const rate = (name: string) => byName.get(name)?.perSecond;
  const shapes = (start: string) => SHAPES.map((shape) => rate(`${start} ${shape}`));
  const writes = (durability: string): Panel => ({
    title: `${durability.toUpperCase()}: writes a second, connections × requests in flight`,
    categories: SHAPES,
    bars: [
      ["daemon, session", shapes(`daemon ${durability} session`)],
      ["daemon", shapes(`daemon ${durability}`)],
      ["one process, as many rows a commit", shapes(`in-process ${durability} grouped`)],
    ],
    lines: [
      ["8 processes on the file", rate(`8 processes ${durability}`)],
      ["one process, a commit each", rate(`in-process ${durability} 1`)],
    ],
  });
  const reads: Panel = {
    title: "Answers a second: a row by its primary key, and Ping",
    categories: SHAPES,
    bars: [["Query", shapes("query")], ["Ping", shapes("ping")]],
    lines: [["one process, from the file", rate("direct read 1")]],
  };
  const waiting = ["1x1", "64x1", "8x16"].map((shape) => `daemon full session ${shape}`);
  const waits: Panel = {
    title: "FULL: milliseconds until a write is answered",
    categories: ["p50", "p99", "p99.9", "slowest"],
    bars: [...waiting, "8 processes full", "32 processes full"].map((name) => {
      const { p50, p99, p999, max }: Partial<Figures> = byName.get(name) ?? {};
      return [name.replace(/ full( session)?/, ""), [p50, p99, p999, max]];
    }),
    lines: [],
  };
  return draw([writes("full"), writes("normal"), reads, waits]);
}

/** Two panels side by side, the others below. */
function draw(panels: readonly Panel[]): Plot {
  const width = WIDTH / 2 - LEFT - RIGHT;
  const places = panels.map((_, i) => ({
    left: LEFT + (i % 2) * WIDTH / 2,
    top: TOP + Math.floor(i / 2) * (PANEL_HEIGHT + TOP + BELOW),
  }));
  return {
    width: WIDTH,
    height: Math.ceil(panels.length / 2) * (PANEL_HEIGHT + TOP + BELOW),
    option: {
      animation: false,
      backgroundColor: "#fff",
      title: panels.map(({ title }, i) => ({
        text: title,
        left: places[i].left - LEFT + 10,
        top: places[i].top - TOP + 10,
        textStyle: { fontSize: 14 },
      })),
      legend: panels.map(({ bars, lines }, i) => ({
        data: [...bars, ...lines].map(([name]) => seriesName(i, name)),
        formatter: (name: string) => name.slice(name.indexOf(" ") + 1),
        left: places[i].left,
        top: places[i].top + PANEL_HEIGHT + 28,
        width,
        itemWidth: 14,
        itemGap: 14,
        itemHeight: 10,
        textStyle: { fontSize: 11 },
      })),
      grid: places.map((place) => ({ ...place, width, height: PANEL_HEIGHT })),
      xAxis: panels.map(({ categories }, gridIndex) => ({
        ...{ type: "category", gridIndex, data: [...categories], axisTick: { show: false } },
      })),
      yAxis: panels.map((panel, gridIndex) => ({
        ...{
          type: "log",
          gridIndex,
          min: floorOf(panel),
          startValue: floorOf(panel),
          axisLabel: { formatter: short },
        },
      })),
      series: panels.flatMap(seriesOf),
    },
  };
}

/** Names are known to the whole picture: each panel's legend is about its own. */
function seriesName(panel: number, name: string): string {
  return `${panel} ${name}`;
}

function seriesOf({ bars, lines }: Panel, i: number): SeriesOption[] {
  const axes = { xAxisIndex: i, yAxisIndex: i };
  return [
    ...bars.map(([name, values], place): SeriesOption => ({
      ...{ type: "bar", name: seriesName(i, name), ...axes, barGap: "5%" },
      data: values.map((value) => value ?? null),
      itemStyle: { color: BAR_COLOURS[place] },
      label: {
        show: true,
        position: "top",
        fontSize: 9,
        formatter: ({ value }: { value?: unknown }) => short(value as number),
      },
    })),
    ...lines.map(([name, value], place): SeriesOption => ({
      ...{ type: "line", name: seriesName(i, name), ...axes },
      itemStyle: { color: LINE_COLOURS[place] },
      markLine: {
        data: value === undefined ? [] : [{ yAxis: value }],
        symbol: "none",
        label: { show: false },
        lineStyle: { color: LINE_COLOURS[place], type: "solid", width: 2 },
      },
    })),
  ];
}

/** Where the axis begins: the power of ten below all. */
function floorOf({ bars, lines }: Panel): number {
  const values = [...bars.flatMap(([, all]) => all), ...lines.map(([, value]) => value)];
  const least = Math.min(...values.filter((value) => value !== undefined));
  return Number.isFinite(least) ? 10 ** Math.floor(Math.log10(least)) : 1;
}

/** Such as 3.2, 51k or 1.2M: three digits would not fit over a bar. */
function short(value: number | null): string {
  if (value === null || value === undefined) return "";
  if (value >= 1_000_000) return `${digits(value / 1_000_000)}M`;
  return value >= 1_000 ? `${digits(value / 1_000)}k` : digits(value);
}

function digits(value: number): string {
  return String(Number(value.toPrecision(2)));
}
