// The ranks of a spawned actor, as SpawnActor drives them: worker processes (process-mesh.ts) or, under a launcher, this
// process as one of the ranks (launched-mesh.ts).
import type { Config } from "../../config/index.ts";

export interface Mesh {
  /** Ranks that can be called from here. */
  readonly ranks: readonly number[];
  /** Creates the actor on every rank. */
  start(): Promise<void>;
  /** Runs a phase on every rank; resolves to rank 0's result. The first error is thrown. */
  phase(name: "setup" | "run" | "cleanup"): Promise<unknown>;
  /** Replaces the actors' configuration. */
  configure(config: Config): Promise<void>;
  read(rank: number, name: string): Promise<unknown>;
  call(rank: number, name: string, args: readonly unknown[]): Promise<unknown>;
  /** Requests a graceful stop on every rank. */
  stop(): void;
  /** After a failure: cleans up where that is still possible, then ends all processes. Returns the cleanup's errors. */
  abandon(): Promise<unknown[]>;
  /** After the cleanup: ends the processes. */
  end(): Promise<void>;
  /** Kills all processes. */
  kill(): Promise<void>;
}
