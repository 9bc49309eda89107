// What an actor's process needs of libtorch, as an interface, so that this folder loads none of it. train/world.ts
// implements it.
import type { Config } from "../config/index.ts";
import type { Meeting } from "./messages/protocol.ts";

export interface World {
  /** Opens the store that the ranks meet at, on a free port. */
  host(config: Config): Promise<Meeting>;
  /** Joins this process to the others as one rank. Without a meeting, where its launcher says. */
  join(config: Config, meeting?: Meeting): Promise<void>;
  leave(): Promise<void>;
  /** A phase failed on this rank, which the others may not notice before they are ended. */
  failed(error: unknown): Promise<void>;
  /** @throws UserError where there is no GPU of that number */
  checkDevice(config: Config, localRank: number, localWorldSize: number): Promise<void>;
}
