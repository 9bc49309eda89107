// `npm run fuzz [PART…] [-- --minutes N --seed N]`: damaged input, for as long as asked. Its parts: parts.ts.
import { fuzzParts } from "./parts.ts";
import { runParts } from "./run-parts.ts";

await runParts("fuzz", fuzzParts);
