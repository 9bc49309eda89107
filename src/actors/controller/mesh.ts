// The ranks of a spawned actor, as SpawnActor drives them: processes of ours (process-mesh.ts), or, under a launcher, this
// process as one rank of many (launched-mesh.ts).
import type { Config } from "../../config/index.ts";

export interface Mesh {
  /** Ranks that can be called from here. */
  readonly ranks: readonly number[];
  /** Makes the actor on every rank. */
  start(): Promise<void>;
  /** Runs a phase on every rank; what it gives is rank 0's. The first error wins. */
  phase(name: "setup" | "run" | "cleanup"): Promise<unknown>;
  /** Gives the actors another configuration; all take it or none. */
  configure(config: Config): Promise<void>;
  read(rank: number, name: string): Promise<unknown>;
  call(rank: number, name: string, args: readonly unknown[]): Promise<unknown>;
  /** Asks every rank to end in good order. */
  stop(): void;
  /** After a failure: cleans up where that is still possible, then ends all. Gives the errors of the cleanup. */
  abandon(): Promise<unknown[]>;
  /** After the cleanup: lets the processes go. */
  end(): Promise<void>;
  /** Ends all at once. */
  kill(): Promise<void>;
}
