// What is said in `forge chat`: the lines of a terminal, a pipe or a file.
import { createInterface } from "node:readline";

/**
 * The lines of `input`; empty ones are left out. With a terminal, each is asked for. Ctrl-C and Ctrl-D at the prompt end the
 * lines; Ctrl-C while an answer is made also calls `interrupt`, Ctrl-D ends after that answer.
 */
export async function* linesOf(
  input: NodeJS.ReadableStream,
  terminal?: NodeJS.WritableStream,
  interrupt: () => void = () => process.kill(process.pid, "SIGINT"),
): AsyncGenerator<string> {
  const isTyped = terminal !== undefined;
  const lines = createInterface({
    input,
    ...(isTyped && { output: terminal, prompt: "> ", terminal: true }),
  });
  let isOpen = true;
  let isAnswering = false;
  lines.once("close", () => (isOpen = false));
  lines.on("SIGINT", () => {
    lines.close();
    if (isAnswering) interrupt();
  });
  const ask = (): void => {
    if (isTyped && isOpen) lines.prompt();
  };
  ask();
  for await (const line of lines) {
    isAnswering = true;
    if (line.trim() !== "") yield line;
    isAnswering = false;
    ask();
  }
}
