// What a gated feed-forward multiplies: `activation(gate) * up`. silu (SwiGLU) is a fused operator's; the others are composed.
import { fused, gelu, type Tensor } from "../torch/index.ts";

/** `gelu_tanh` is PyTorch's approximation by tanh. */
export type Activation = "silu" | "gelu_tanh" | "gelu";

/** [.., I] and [.., I] to the same. */
export function gated(activation: Activation, gate: Tensor, up: Tensor): Tensor {
  if (activation === "silu") return fused.swiglu(gate, up);
  return gelu(gate, { approximate: activation === "gelu" ? "none" : "tanh" }).mul(up);
}
