// 8-bit integers: a row's numbers are its codes, -127 to 127, times its largest magnitude / 127, as in LLM.int8 (Dettmers et al.
// 2022, https://arxiv.org/abs/2208.07339), without its outliers.
import { rowScale } from "./row-scale.ts";

export const int8Rows = rowScale("int8");
