// Which TCP sockets processes listen on, as Linux tells. For tests that nothing is open to strangers.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** The addresses, `127.0.0.1:29500`, of the listening sockets of these processes. */
export function listeningSockets(pids: readonly number[]): string[] {
  const inodes = new Set(
    pids.flatMap((pid) =>
      readdirSync(`/proc/${pid}/fd`).map((fd) => {
        try {
          return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
        } catch {
          return undefined; // closed meanwhile
        }
      }),
    ),
  );
  return ["tcp", "tcp6"].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, "utf8")
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((columns) => columns[3] === "0A" && inodes.has(columns[9]))
      .map((columns) => addressOf(columns[1]!)),
  );
}

/** `0100007F:1F90` of /proc/net/tcp: words of the machine's byte order, the port in hexadecimal. */
function addressOf(text: string): string {
  const [hex, port] = text.split(":") as [string, string];
  const bytes = Buffer.from(hex, "hex");
  const words = bytes.swap32();
  const host = bytes.length === 4 ? words.join(".") : words.toString("hex");
  return `${host}:${parseInt(port, 16)}`;
}

/** Whether none but this machine's processes can connect. */
export const isLoopback = (address: string): boolean =>
  address.startsWith("127.") || /^(0{31}1|0{20}ffff7f[0-9a-f]{6}):/.test(address);
