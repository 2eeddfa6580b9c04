/**
 * Pictures of what was measured, as SVG.
 *
 * @module
 */
import { type EChartsOption, init } from "echarts";

/** What to draw, in so many pixels. */
export interface Plot {
  readonly width: number;
  readonly height: number;
  readonly option: EChartsOption;
}

/** Draws a plot, without a browser. */
export function renderSvg({ width, height, option }: Plot): string {
  const chart = init(null, null, { renderer: "svg", ssr: true, width, height });
  try {
    chart.setOption(option);
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}
