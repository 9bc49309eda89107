// The side of a rank: joins the world of a test and reports its cases. See launch.ts.
import {
  destroyProcessGroup,
  initProcessGroup,
  type InitOptions,
  type ProcessGroup,
  Store,
} from "../../src/comm/index.ts";
import { call, type Dtype, float64, fromArray, setNumThreads, type Tensor } from "../../src/torch/index.ts";
import type { Message } from "./launch.ts";

export const rank = Number(process.env["TEST_RANK"]);
export const size = Number(process.env["TEST_SIZE"]);
export const ranks = Array.from({ length: size }, (_, i) => i);

export function tell(message: Message): void {
  process.send!(message);
}

/** Rank 0 hosts the store on a free port, the test passes the port on. */
export async function openStore(): Promise<Store> {
  const host = "127.0.0.1";
  if (rank === 0) {
    const store = await Store.open({ host, port: 0, isMaster: true, timeoutSeconds: 60 });
    tell({ port: store.port });
    return store;
  }
  const port = await new Promise<number>((done) => {
    process.once("message", (message: { port: number }) => done(message.port));
  });
  return await Store.open({ host, port, timeoutSeconds: 60 });
}

let joined: Store | undefined;

export async function joinWorld(options: InitOptions = {}): Promise<ProcessGroup> {
  setNumThreads(1);
  if (process.env["TEST_STAGED"] !== undefined) call<undefined>("forge_comm::stage_all", true);
  const store = await openStore();
  joined = store;
  // Less than `launch` waits, so that a group that can't be made says why.
  const limits = { timeoutSeconds: 30, initTimeoutSeconds: 60 };
  return await initProcessGroup({ ...limits, ...options, store, rank, worldSize: size });
}

/** So that this process can join another world. */
export async function leaveWorld(): Promise<void> {
  await destroyProcessGroup();
  await joined?.close();
}

/** Runs a case and reports it; goes on after a failure. */
export async function check(name: string, body: () => void | Promise<void>): Promise<void> {
  try {
    await body();
    tell({ case: name });
  } catch (error) {
    tell({ case: name, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}

/** Leaves when the messages are through: the channel keeps the process alive otherwise. */
export function leave(): void {
  process.disconnect!();
}

/** A tensor of `numbers`, flat or nested. */
export function tensorOf(numbers: readonly unknown[], dtype: Dtype): Tensor {
  return fromArray(numbers as number[], { dtype: float64 }).to(dtype);
}

/** The elements as numbers, flat. */
export function numbersOf(tensor: Tensor): number[] {
  return (tensor.detach().reshape([-1]).to(float64).tolist() as number[]).map((value) =>
    value === 0 ? 0 : value,
  );
}
