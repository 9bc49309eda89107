// process.stdin of a kernel, and `prompt()`. Nobody types there: a cell that asks would wait for ever, so that it gets an error.
import { Readable } from "node:stream";

import { UserError } from "../../../util/index.ts";

const refuse = (what: string): never => {
  throw new UserError(
    `${what}: a cell can't ask for input. Write the answer into the cell (const name = "…"), or read it from a file or process.env.`,
  );
};

/** Throws where somebody begins to read: in readline.createInterface(), `for await`, `on("data")`, pipe(). */
export class NoInput extends Readable {
  readonly fd = 0;
  readonly isTTY = false;

  override resume(): this {
    return refuse("process.stdin");
  }
  override read(): never {
    return refuse("process.stdin");
  }
  override pipe(): never {
    return refuse("process.stdin");
  }
  override [Symbol.asyncIterator](): never {
    return refuse("process.stdin");
  }
}

export const prompt = (): never => refuse("prompt()");
export const confirm = (): never => refuse("confirm()");
