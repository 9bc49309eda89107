export { camelKeys, type CamelKeys } from "./camel-keys.ts";
export { asError, messageOf, UserError } from "./errors.ts";
export { expandHome } from "./expand-home.ts";
export { removeLeftovers } from "./leftovers.ts";
export { makeFolder } from "./make-folder.ts";
export { cacheDir } from "./paths.ts";
export { isProcessAlive } from "./process.ts";
export { makeWorkFolder } from "./work-folder.ts";
