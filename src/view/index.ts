// What draws: charts as SVG, tables and escaped text as HTML, lines of text. Notebook, command line and reports share it. It
// knows no run and reads no file.
export { chartGrid, chartSvg, palette, smooth, ticks, type Chart, type Point, type Series } from "./chart.ts";
export { escapeXml } from "./escape-xml.ts";
export { sparkline } from "./sparkline.ts";
export { tableHtml, tableText, type Cell, type Rich } from "./table.ts";
