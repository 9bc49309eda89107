// What an adapter's folder consists of, as PEFT writes it. Constants alone, so that a thread without libtorch can use them.
export const adapterFileName = "adapter_model.safetensors";
export const adapterConfigName = "adapter_config.json";

/** Before each of our names in that file. */
export const peftPrefix = "base_model.model.";
