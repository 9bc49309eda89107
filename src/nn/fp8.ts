// 8-bit floats (float8_e4m3fn): a row's numbers are its codes times its largest magnitude / 448, the largest that the type holds.
import { rowScale } from "./row-scale.ts";

export const fp8Rows = rowScale("fp8");
