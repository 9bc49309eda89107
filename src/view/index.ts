// Drawing, shared by notebook, command line and reports: charts as SVG, tables as HTML and text. It knows nothing of runs and
// reads no files.
export {
  chartGrid,
  chartSvg,
  chartText,
  palette,
  smooth,
  ticks,
  type Chart,
  type Point,
  type Series,
} from "./chart.ts";
export { withinBounds } from "./bounds.ts";
export { escapeXml } from "./escape-xml.ts";
export { sparkline } from "./sparkline.ts";
export { tableHtml, tableText, type Cell, type HtmlCell } from "./table.ts";
