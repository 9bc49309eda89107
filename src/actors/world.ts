// What a worker process needs from libtorch, as an interface, so that this folder doesn't load it. Implemented by
// train/world.ts.
import type { Config } from "../config/index.ts";
import type { StoreAddress } from "./messages/protocol.ts";

/** A process among those of its machine. */
export interface LocalPlace {
  readonly localRank: number;
  readonly localWorldSize: number;
  /** Started by a launcher, which may have given each process a GPU and hidden the others. */
  readonly isLaunched: boolean;
}

export interface World {
  /** Opens the run's TCPStore on a free port. */
  hostStore(config: Config): Promise<StoreAddress>;
  /** Joins the run as one rank. Without an address, the launcher's environment variables say where the store is. */
  join(config: Config, store?: StoreAddress): Promise<void>;
  leave(): Promise<void>;
  /** Called when a phase failed on this rank: the other ranks may not notice it by themselves. */
  reportFailure(error: unknown): Promise<void>;
  /** @throws UserError if this process has no GPU of its own */
  checkDevice(config: Config, place: LocalPlace): Promise<void>;
}
