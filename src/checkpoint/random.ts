// The random streams of a run, as bytes: with them back in place every later draw is what it would have been.
import { defaultGenerator, fromTypedArray, scope, uint8 } from "../torch/index.ts";

/** States of default generators by device ("cpu", "cuda:0"). */
export type RandomState = Readonly<Record<string, Uint8Array>>;

/** The states of these devices' default generators now. */
export function captureRandom(devices: readonly string[] = ["cpu"]): RandomState {
  using temporaries = scope();
  void temporaries;
  return Object.fromEntries(
    devices.map((device) => {
      const state = defaultGenerator(device).getState();
      return [device, state.readBytes(new Uint8Array(state.nbytes))];
    }),
  );
}

/** Sets the default generators back. @throws TorchError for a state of another kind of generator */
export function restoreRandom(states: RandomState): void {
  using temporaries = scope();
  void temporaries;
  for (const [device, bytes] of Object.entries(states))
    defaultGenerator(device).setState(fromTypedArray(bytes, [bytes.length], { dtype: uint8 }));
}
