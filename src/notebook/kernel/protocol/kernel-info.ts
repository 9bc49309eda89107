// The content of kernel_info_reply.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { protocolVersion, type Content } from "./message.ts";

const packageFolder = resolve(import.meta.dirname, "..", "..", "..", "..");

export function kernelInfo(): Content {
  const { version } = JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8")) as {
    version: string;
  };
  return {
    protocol_version: protocolVersion,
    implementation: "torchforge",
    implementation_version: version,
    language_info: {
      name: "typescript",
      version: process.versions.node,
      mimetype: "text/x.typescript",
      file_extension: ".ts",
      codemirror_mode: "typescript",
      pygments_lexer: "typescript",
      nbconvert_exporter: "script",
    },
    banner: `torchforge ${version}: TypeScript on Node ${process.versions.node}`,
    help_links: [],
    debugger: false,
    supported_features: [],
  };
}
