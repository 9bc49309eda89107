// Which files of a repository are wanted: shell patterns as Python's fnmatch has them, and the rule that leaves out
// copies of the same weights in other formats.
import type { RepoFile } from "./api.ts";

/** As fnmatch: `*` also matches slashes; a pattern that ends in a slash means all below it. */
export function matchesPattern(path: string, pattern: string): boolean {
  const whole = pattern.endsWith("/") ? `${pattern}*` : pattern;
  let source = "";
  for (let i = 0; i < whole.length; i++) {
    const char = whole[i]!;
    const close = char === "[" ? whole.indexOf("]", i + 2) : -1;
    if (char === "*") source += "[^]*";
    else if (char === "?") source += "[^]";
    else if (close > 0) {
      const inside = whole.slice(i + 1, close).replaceAll("\\", "\\\\");
      source += `[${inside.startsWith("!") ? `^${inside.slice(1)}` : inside}]`;
      i = close;
    } else source += char.replaceAll(/[\\^$.|+(){}[\]]/g, "\\$&");
  }
  return new RegExp(`^${source}$`, "u").test(path);
}

const otherFormats = (
  "*.bin *.pt *.pth *.ckpt *.h5 *.msgpack *.ot *.onnx *.onnx_data *.tflite *.gguf *.mlmodel " +
  "original/* onnx/* openvino/* coreml/* metal/* *.mlpackage/* consolidated*.safetensors"
).split(" ");

/** Patterns that leave one copy of a model's weights, where there is one that we read; none otherwise. */
export function defaultIgnore(files: readonly RepoFile[]): readonly string[] {
  const readable = files.some((file) => /^model(-\d+-of-\d+)?\.safetensors$/.test(file.path));
  return readable ? otherFormats : [];
}

/** What a model needs to be loaded: the files of the repository's top folder, without other formats. */
export function modelFiles(files: readonly RepoFile[]): RepoFile[] {
  return files.filter(
    ({ path }) =>
      !path.includes("/") &&
      /\.(json|txt|model|jinja|safetensors)$/.test(path) &&
      !defaultIgnore(files).some((pattern) => matchesPattern(path, pattern)),
  );
}
