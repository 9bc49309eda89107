// Selects files of a repository: shell patterns like Python's fnmatch, and the rule that skips copies of the weights in other
// formats.
import type { RepoFile } from "./api.ts";

/** Like fnmatch: `*` also matches slashes. A trailing slash matches everything below a folder. */
export function matchesPattern(path: string, pattern: string): boolean {
  const fullPattern = pattern.endsWith("/") ? `${pattern}*` : pattern;
  let source = "";
  for (let i = 0; i < fullPattern.length; i++) {
    const char = fullPattern[i]!;
    const close = char === "[" ? fullPattern.indexOf("]", i + 2) : -1;
    if (char === "*") source += "[^]*";
    else if (char === "?") source += "[^]";
    else if (close > 0) {
      const inside = fullPattern.slice(i + 1, close).replaceAll("\\", "\\\\");
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

/** Patterns that skip weights in other formats, if the repository has safetensors; else none. */
export function defaultIgnore(files: readonly RepoFile[]): readonly string[] {
  const readable = files.some((file) => /^model(-\d+-of-\d+)?\.safetensors$/.test(file.path));
  return readable ? otherFormats : [];
}

/** The files needed to load a model: those in the repository's top folder, without other formats, and further chat templates. */
export function modelFiles(files: readonly RepoFile[]): RepoFile[] {
  return files.filter(
    ({ path }) =>
      /^(?:[^/]+\.(?:json|txt|model|jinja|safetensors)|additional_chat_templates\/[^/]+\.jinja)$/.test(
        path,
      ) && !defaultIgnore(files).some((pattern) => matchesPattern(path, pattern)),
  );
}
