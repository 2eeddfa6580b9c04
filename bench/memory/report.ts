/**
 * The results: a table in Markdown, and a picture.
 *
 * @module
 */
import type { SeriesOption } from "echarts";
import type { Machine } from "../machine.ts";
import type { Plot } from "../svg.ts";
import type { Figure, Pattern } from "./patterns.ts";
import type { Sample } from "./samples.ts";

/** What was found in one pattern. */
export interface PatternResult {
  readonly pattern: Pattern;
  readonly figures: readonly Figure[];
  readonly samples: readonly Sample[];
}

/** All that a run found. */
export interface MemoryRun {
  readonly machine: Machine;
  /** How the daemon was run. */
  readonly daemon: string;
  /** The commit that was checked out. */
  readonly commit: string;
  /** Day and time at the end, UTC. */
  readonly at: string;
  readonly results: readonly PatternResult[];
}

/** The whole report. */
export function reportText({ machine, daemon, commit, at, results }: MemoryRun): string {
  const { processor, cores, memoryGiB, system } = machine;
  return `# Memory

Private memory (anonymous pages) in MiB, looked at every 50 ms from outside. The daemon: ${daemon}. Commit ${commit}, ${at}; ${processor}, ${cores} cores, ${memoryGiB} GiB; ${system}.

${table(results)}
What is done in each:

${results.map(({ pattern }) => `- **${pattern.name}**: ${pattern.description}\n`).join("")}
![Memory and open connections over time](memory.svg)
`;
}

function table(results: readonly PatternResult[]): string {
  const rows = results.flatMap(({ pattern, figures, samples }) =>
    figures.map(({ what, wanted, measured, reached }, i) => {
      const resident = Math.max(...samples.map(({ residentMiB }) => residentMiB)).toFixed(0);
      const first = i === 0 ? [pattern.name, pattern.guide] : ["", ""];
      return [
        ...first,
        what,
        wanted,
        measured,
        reached ? "yes" : "**no**",
        i === 0 ? resident : "",
      ];
    })
  );
  const head = ["pattern", "the guide", "what", "wanted", "measured", "reached", "highest RSS"];
  return [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |\n`).join("");
}

const WIDTH = 1_200;
const COLUMNS = 2;
const PANEL_HEIGHT = 190;
const LEFT = 55, RIGHT = 65, TOP = 55, BELOW = 40;
/** More points than a panel has pixels would only make the file large. */
const POINTS_MAX = 400;
const COLOURS = { private: "#2a6fbb", connections: "#d9b27c", guide: "#a23b3b" };

/** A panel a pattern: memory, open connections, and the guide's figure as a line. */
export function memoryPlot(results: readonly PatternResult[]): Plot {
  const width = WIDTH / COLUMNS - LEFT - RIGHT;
  const places = results.map((_, i) => ({
    left: LEFT + (i % COLUMNS) * WIDTH / COLUMNS,
    top: 30 + TOP + Math.floor(i / COLUMNS) * (PANEL_HEIGHT + TOP + BELOW),
  }));
  return {
    width: WIDTH,
    height: 40 + Math.ceil(results.length / COLUMNS) * (PANEL_HEIGHT + TOP + BELOW),
    option: {
      animation: false,
      backgroundColor: "#fff",
      color: [COLOURS.private, COLOURS.connections, COLOURS.guide],
      legend: { top: 8, itemGap: 40, icon: "roundRect", data: [MEMORY, CONNECTIONS, GUIDE] },
      title: results.map(({ pattern }, i) => ({
        text: `${pattern.name} (the guide: ${pattern.guide})`,
        left: places[i].left - LEFT + 20,
        top: places[i].top - TOP - 4,
        textStyle: { fontSize: 13 },
      })),
      grid: places.map((place) => ({ ...place, width, height: PANEL_HEIGHT })),
      xAxis: results.map((_, gridIndex) => ({
        ...{ type: "value", gridIndex, name: "s", nameGap: 5, min: 0, max: "dataMax" },
        axisLabel: { formatter: (seconds: number) => String(Math.round(seconds)) },
        splitLine: { show: false },
      })),
      yAxis: results.flatMap((_, gridIndex) => [
        { type: "value" as const, gridIndex, name: "MiB", min: 0 },
        {
          ...{ type: "value" as const, gridIndex, name: "connections", min: 0, minInterval: 1 },
          max: ({ max }: { max: number }) => Math.ceil(1.3 * max),
          splitLine: { show: false },
        },
      ]),
      series: results.flatMap(seriesOf),
    },
  };
}

const MEMORY = "private memory", CONNECTIONS = "open connections", GUIDE = "the guide's highest";

function seriesOf({ pattern, samples }: PatternResult, i: number): SeriesOption[] {
  const points = thinned(samples);
  const end = points.at(-1)!.ms / 1_000;
  const line = (name: string, axis: number, data: [number, number][]): SeriesOption => ({
    ...{ type: "line", name, xAxisIndex: i, yAxisIndex: 2 * i + axis, data, showSymbol: false },
    lineStyle: { width: 1.5, type: name === GUIDE ? "dashed" : "solid" },
  });
  const connections = points.map(({ ms, connections }): [number, number] => [
    ms / 1_000,
    connections,
  ]);
  return [
    line(MEMORY, 0, points.map(({ ms, privateMiB }) => [ms / 1_000, privateMiB])),
    {
      ...line(CONNECTIONS, 1, connections),
      step: "end",
      areaStyle: { opacity: 0.2 },
    } as SeriesOption,
    line(GUIDE, 0, pattern.guideMB ? [[0, pattern.guideMB], [end, pattern.guideMB]] : []),
  ];
}

/** The highest of several neighbours, so that no peak is lost. */
function thinned(samples: readonly Sample[]): Sample[] {
  const size = Math.ceil(samples.length / POINTS_MAX);
  const points: Sample[] = [];
  for (let i = 0; i < samples.length; i += size) {
    const some = samples.slice(i, i + size);
    points.push({
      ms: some[0].ms,
      privateMiB: Math.max(...some.map(({ privateMiB }) => privateMiB)),
      residentMiB: Math.max(...some.map(({ residentMiB }) => residentMiB)),
      connections: Math.max(...some.map(({ connections }) => connections)),
    });
  }
  return points;
}
