// Selects files of a repository: shell patterns like Python's fnmatch, and the rule that skips copies of the weights in other
// formats.
import type { RepoFile } from "./api.ts";
import { nameGlob } from "./glob.ts";

/** As nameGlob has it; a trailing slash matches everything below a folder. */
export const matchesPattern = (path: string, pattern: string): boolean =>
  nameGlob(pattern.endsWith("/") ? `${pattern}*` : pattern)(path);

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
