// A hundred lives of an actor in one controller: no process, file descriptor, port or listener stays.
import assert from "node:assert/strict";
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import test from "node:test";

import { SpawnActor } from "../../src/actors/index.ts";
import { children, configFor } from "./setting.ts";
import { Counter } from "./toys/counter.ts";
import { Summer } from "./toys/summer.ts";

process.env["OMP_NUM_THREADS"] = "1";
const cycles = 100;
/** Of these cycles, every tenth has two ranks, which meet at a port: loading libtorch in each takes its time. */
const joinedEvery = 10;

/** The sockets of this machine that listen, by inode: a port may be used again, a socket not. */
function listening(): Set<string> {
  const found = new Set<string>();
  for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of readFileSync(file, "utf8").split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[3] === "0A") found.add(fields[9]!);
    }
  }
  return found;
}

function socketsOf(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`${folder}/${fd}`))?.[1] ?? [];
    } catch {
      return []; // closed meanwhile
    }
  });
}

const descriptors = (): number => readdirSync("/proc/self/fd").length;
const listeners = (): number =>
  process.eventNames().reduce((sum, name) => sum + process.listenerCount(name as string), 0);

/** Gives the sockets on which its workers listened. */
async function cycle(joined: boolean): Promise<string[]> {
  const spawner = joined
    ? new SpawnActor(Summer, configFor(2), { presenter: false })
    : new SpawnActor(Counter, configFor(1), { presenter: false });
  await spawner.spawn();
  await spawner.setup();
  const open = listening();
  const ports = spawner.pids.flatMap((pid) => socketsOf(pid!).filter((socket) => open.has(socket)));
  await spawner.cleanup();
  return ports;
}

test(`${cycles} cycles of spawn, setup, cleanup leave nothing behind`, { timeout: 1_200_000 }, async () => {
  // What is loaded once, such as the modules of the class, doesn't count.
  await cycle(false);
  await cycle(true);
  const [fds, heard] = [descriptors(), listeners()];
  const ports: string[] = [];
  for (let i = 1; i <= cycles; i++) {
    const opened = await cycle(i % joinedEvery === 0);
    if (i % joinedEvery === 0) assert.ok(opened.length > 0, "this look at the ports sees that of the store");
    ports.push(...opened);
  }
  assert.deepEqual(children(), []);
  assert.equal(descriptors(), fds);
  assert.equal(listeners(), heard);
  const open = listening();
  assert.deepEqual(
    ports.filter((port) => open.has(port)),
    [],
  );
});
