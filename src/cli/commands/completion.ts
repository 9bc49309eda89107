// `forge completion`: a script that completes commands, options, recipes and keys in a shell. Made from the commands themselves.
import { Argument, Command } from "commander";

import { allKeyNames } from "../../config/index.ts";
import { commands } from "../commands.ts";
import { listRecipes } from "../recipe-files.ts";

export function command(): Command {
  return new Command("completion")
    .addArgument(new Argument("<shell>", "which shell").choices(["bash", "zsh"]))
    .addHelpText(
      "after",
      "\nIt completes `forge` and `torchforge`, as `npm install -g` brings them; after `npx` a shell completes nothing of ours.\n" +
        "\nExamples:\n  $ npx torchforge completion bash > ~/.torchforge-completion && echo 'source ~/.torchforge-completion' >> ~/.bashrc\n" +
        "  $ npx torchforge completion zsh > ~/.torchforge-completion && echo 'source ~/.torchforge-completion' >> ~/.zshrc",
    )
    .action(async (shell: string) => {
      const zsh = "autoload -U +X compinit && compinit; autoload -U +X bashcompinit && bashcompinit\n";
      console.log(`${shell === "zsh" ? zsh : ""}${await bashScript()}`);
    });
}

// Files are readline's to complete (-o default): what compgen -W gets is expanded as a command's words are, and a file's name
// may hold a command.
async function bashScript(): Promise<string> {
  const cases: string[] = [];
  for (const { name, load } of commands) {
    const own = (await load()).command();
    const words = [own, ...own.commands].flatMap((one) => one.options.map(({ long }) => long ?? ""));
    const takesKeys = [own, ...own.commands].some((one) =>
      one.registeredArguments.some((argument) => argument.name() === "overrides"),
    );
    const keys = takesKeys ? allKeyNames().map((key) => `${key}=`) : [];
    cases.push(
      `    ${name}) words="${[...own.commands.map((one) => one.name()), ...words, ...keys].filter(Boolean).join(" ")}" ;;`,
    );
  }
  return `_forge() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words
  if [ "$COMP_CWORD" -eq 1 ]; then words="${commands.map(({ name }) => name).join(" ")}"
  elif [ "$previous" = --config ]; then
    words="${listRecipes()
      .map(({ name }) => name)
      .join(" ")}"
  else case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  case "\${COMPREPLY[0]}" in *=) compopt -o nospace 2>/dev/null ;; esac
}
complete -o default -F _forge forge torchforge`;
}
