// torchrun in tests: so many nodes of one process each, on loopback.
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";

import { cacheDir } from "../../src/util/index.ts";
import { environment } from "../programs.ts";

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

/** Python with torch: that of the private environment, which `forge setup` made; else the active one. */
function python(): string {
  const cache = cacheDir();
  const venv = existsSync(cache)
    ? readdirSync(cache).find((name) => name.startsWith("venv-torch-"))
    : undefined;
  const found = venv === undefined ? "" : join(cache, venv, "bin", "python");
  return existsSync(found) ? found : "python3";
}

/** Runs `node ...args` on every node. Gives the nodes' standard outputs; anything but exit code 0 is an error. */
export async function torchrun(nodes: number, args: readonly string[]): Promise<string[]> {
  const port = String(await freePort());
  const node = async (rank: number): Promise<string> => {
    const launcher = [
      ..."-m torch.distributed.run --no-python --nproc-per-node 1 --master-addr 127.0.0.1".split(" "),
      ...`--nnodes ${nodes} --node-rank ${rank} --master-port ${port}`.split(" "),
    ];
    const { stdout } = await promisify(execFile)(python(), [...launcher, process.execPath, ...args], {
      env: environment,
      timeout: 300_000,
    });
    return stdout;
  };
  return await Promise.all(Array.from({ length: nodes }, (_, rank) => node(rank)));
}
