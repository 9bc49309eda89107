export { messageOf, UserError } from "./errors.ts";
export { cacheDir } from "./paths.ts";
