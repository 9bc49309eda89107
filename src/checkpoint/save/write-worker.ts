// The thread that writes checkpoints: the same files as in the other thread, from copied bytes. One job at a time. It never
// loads libtorch; the other end is background.ts.
import { parentPort } from "node:worker_threads";
import { messageOf } from "../../util/index.ts";
import { bufferName, type BackgroundJob, type BackgroundReply, type StagedTensor } from "./job.ts";
import { publish } from "./publish.ts";
import { writeFiles } from "./write.ts";

const pieceBytes = 16 << 20;

function* piecesOf({ bytes }: StagedTensor): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

const port = parentPort;
if (port !== null) {
  const send = (reply: BackgroundReply, transfer: ArrayBuffer[] = []): void =>
    port.postMessage(reply, transfer);
  const run = async ({ job, publication }: BackgroundJob): Promise<void> => {
    writeFiles(job, piecesOf);
    const buffers = new Map(
      job.files.flatMap((file) => file.tensors.map((one) => [bufferName(file, one), one.bytes] as const)),
    );
    send(
      { kind: "written", buffers },
      [...buffers.values()].map((bytes) => bytes.buffer),
    );
    if (publication !== undefined) send({ kind: "published", published: await publish(publication) });
  };
  port.on("message", (job: BackgroundJob) => {
    run(job).catch((error: unknown) => {
      send({ kind: "failed", message: messageOf(error), code: codeOf(error) });
    });
  });
}

function codeOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code } = at as NodeJS.ErrnoException;
    if (code !== undefined) return code;
  }
  return undefined;
}
