export { chartGrid, chartSvg, palette, smooth, ticks, type Chart, type Point, type Series } from "./chart.ts";
export { asError, messageOf, UserError } from "./errors.ts";
export { escapeXml } from "./escape-xml.ts";
export { removeLeftovers } from "./leftovers.ts";
export { makeFolder } from "./make-folder.ts";
export { cacheDir } from "./paths.ts";
export { isProcessAlive } from "./process.ts";
export { makeWorkFolder } from "./work-folder.ts";
