// The functions that controller and worker process call on each other: all that the two sides share.
import type { ConfigTransfer } from "../../config/index.ts";
import type { ActorMessage } from "./events.ts";
import type { ClassLocation } from "../controller/locate-class.ts";

export interface LoadRequest {
  classLocation: ClassLocation;
  config: ConfigTransfer;
}

/** Where the ranks of a run find their TCPStore. */
export interface StoreAddress {
  host: string;
  port: number;
  /** Of this run's processes alone; see Store. */
  secret: string;
}

/** Implemented by the worker, called by the controller. Thrown errors cross as WireError. */
export interface WorkerFunctions {
  /** Imports the actor's class. */
  load(request: LoadRequest): Promise<void>;
  /** Rank 0 only: opens the store. */
  hostStore(): Promise<StoreAddress>;
  /** Joins the other ranks, if there are any, and creates the actor. */
  create(store: StoreAddress | undefined): Promise<void>;
  phase(name: "setup" | "run" | "cleanup"): Promise<unknown>;
  configure(config: ConfigTransfer): Promise<void>;
  read(name: string): Promise<unknown>;
  call(name: string, args: unknown[]): Promise<unknown>;
  stop(): void;
  /** Leaves the process group and exits. */
  leave(): void;
}

/** Implemented by the controller, called by a worker. */
export interface ControllerFunctions {
  /** Messages arrive in the order in which the actor sent them. */
  emit(messages: readonly ActorMessage[]): void;
}
