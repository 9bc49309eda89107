// The random streams of a run, as bytes: with them back in place every later draw is what it would have been.
import {
  defaultGenerator,
  device,
  fromTypedArray,
  info,
  scope,
  uint8,
  type Tensor,
} from "../../torch/index.ts";

/** States of default generators by device ("cpu", "cuda:0"). */
export type RandomState = Readonly<Record<string, Uint8Array>>;

/** The states of these devices' default generators now. */
export function captureRandom(devices: readonly string[] = ["cpu"]): RandomState {
  using _ = scope();
  return Object.fromEntries(
    devices.map((device) => {
      const state = defaultGenerator(device).getState();
      return [device, state.readBytes(new Uint8Array(state.nbytes))];
    }),
  );
}

/** The devices whose streams a run with these tensors draws from: the CPU's, and where its tensors are. */
export function devicesOf(tensors: Iterable<Tensor>): string[] {
  const found = new Set(["cpu"]);
  for (const tensor of tensors) found.add(tensor.device.toString());
  return [...found];
}

/** Sets the default generators back, those of devices that this process has. @throws TorchError for a state of another kind of generator */
export function restoreRandom(states: RandomState): void {
  using _ = scope();
  for (const [name, bytes] of Object.entries(states)) {
    const { type, index = 0 } = device(name);
    const { accelerator, deviceCount } = info();
    if (type !== "cpu" && (type !== accelerator || index >= deviceCount)) continue;
    defaultGenerator(name).setState(fromTypedArray(bytes, [bytes.length], { dtype: uint8 }));
  }
}
