// The kernels of CUDA devices, emulated on the CPU: each against the composition in float64, in every type, for shapes that fill
// no block, one row, no rows, rows that aren't aligned. The operators' own tests run on the emulation, too.
import { emulateCuda } from "./emulation.ts";

emulateCuda();
await import("./checks.ts");
await import("../fused/fused.test.ts");
