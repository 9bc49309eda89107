// What the parameters of an adapter are called: PEFT's names in its files, without the prefix `base_model.model.`.

/** @param module the layer that is adapted: `model.layers.0.self_attn.q_proj` */
export const adapterNames = (module: string) => ({
  /** [r, I]. */
  a: `${module}.lora_A.weight`,
  /** [O, r]. */
  b: `${module}.lora_B.weight`,
  /** DoRA's: [O]. */
  magnitude: `${module}.lora_magnitude_vector`,
});
