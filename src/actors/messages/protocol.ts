// What a controller and a worker process call at each other. The only thing that both sides know.
import type { TorchforgeConfig } from "../../config/index.ts";
import type { ActorMessage } from "./events.ts";
import type { ClassPlace } from "../controller/locate-class.ts";

export interface StartOrder {
  place: ClassPlace;
  config: TorchforgeConfig;
}

/** Where the ranks of a run meet. */
export interface Meeting {
  host: string;
  port: number;
}

/** Of a worker, called by the controller. Errors are thrown as they are, and cross as WireError. */
export interface WorkerFunctions {
  /** Imports the class. */
  load(order: StartOrder): Promise<void>;
  /** Rank 0: opens the store that all meet at. */
  host(): Promise<Meeting>;
  /** Joins the other ranks, where there are any, and makes the actor. */
  create(meeting: Meeting | undefined): Promise<void>;
  phase(name: "setup" | "run" | "cleanup"): Promise<unknown>;
  configure(config: TorchforgeConfig): Promise<void>;
  read(name: string): Promise<unknown>;
  call(name: string, args: unknown[]): Promise<unknown>;
  stop(): void;
  /** Leaves the other ranks and ends the process. */
  leave(): void;
}

/** Of the controller, called by a worker. */
export interface ControllerFunctions {
  /** In the order in which the actor said them. */
  emit(messages: readonly ActorMessage[]): void;
}
