// The quantize section: how the frozen weights of a run are kept in memory.
import { z } from "zod";

import { key, section } from "../schema/key.ts";

export const quantize = section("Keeping the frozen weights of the model in fewer bits.", {
  base: key(z.enum(["none", "nf4", "int8", "fp8"]), {
    default: "none",
    doc: "How the matrices of linear layers are kept that an adapter leaves as they are: nf4 (4 bits, as QLoRA and bitsandbytes), int8 or fp8 (8 bits with a scale a row); none: in training.dtype. Embedding, head, norms, routers and experts stay as they are. Needs an adapter. A model whose files are in nf4 is kept so in any case.",
    advice: "nf4 where the model doesn't fit otherwise: about a quarter of bfloat16's memory.",
  }),
  double_quant: key(z.boolean(), {
    default: true,
    doc: "With nf4: the scales of the blocks are quantized, too, which takes 4.13 in place of 4.5 bits a weight (bitsandbytes: bnb_4bit_use_double_quant).",
  }),
});
