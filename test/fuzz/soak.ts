// `npm run soak [PART…] [-- --minutes N --seed N]`: all that is done to a run and its files, minutes or hours. Its parts: parts.ts.
import { soakParts } from "./parts.ts";
import { runParts } from "./run-parts.ts";

await runParts("soak", soakParts);
