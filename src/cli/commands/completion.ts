// `forge completion`: a script that completes commands, options, recipes and keys in a shell. Made from the commands themselves.
import { Argument, Command } from "commander";

import { allKeyNames } from "../../config/index.ts";
import { commands } from "../commands.ts";
import { listRecipes } from "../recipe-files.ts";

export function command(): Command {
  return new Command("completion")
    .addArgument(new Argument("<shell>", "which shell").choices(["bash", "zsh", "fish"]))
    .addHelpText(
      "after",
      "\nIt completes `forge` and `torchforge`, as `npm install -g` brings them; after `npx` a shell completes nothing of ours.\n" +
        "\nExamples:\n  $ npx torchforge completion bash > ~/.torchforge-completion && echo 'source ~/.torchforge-completion' >> ~/.bashrc\n" +
        "  $ npx torchforge completion zsh > ~/.torchforge-completion && echo 'source ~/.torchforge-completion' >> ~/.zshrc\n" +
        "  $ npx torchforge completion fish > ~/.config/fish/completions/forge.fish && cp ~/.config/fish/completions/forge.fish ~/.config/fish/completions/torchforge.fish",
    )
    .action(async (shell: string) => {
      const zsh = "autoload -U +X compinit && compinit; autoload -U +X bashcompinit && bashcompinit\n";
      const completions = await completionsOfCommands();
      if (shell === "fish") console.log(fishScript(completions));
      else console.log(`${shell === "zsh" ? zsh : ""}${bashScript(completions)}`);
    });
}

/** What may follow a command. */
interface Completions {
  readonly name: string;
  readonly summary: string;
  readonly subcommands: readonly string[];
  readonly options: readonly string[];
  /** Of the configuration, with `=`. */
  readonly keys: readonly string[];
}

async function completionsOfCommands(): Promise<Completions[]> {
  return await Promise.all(
    commands.map(async ({ name, summary, load }) => {
      const own = (await load()).command();
      const all = [own, ...own.commands];
      const takesKeys = all.some((one) =>
        one.registeredArguments.some((argument) => argument.name() === "overrides"),
      );
      return {
        name,
        summary,
        subcommands: own.commands.map((one) => one.name()),
        options: [...new Set(all.flatMap((one) => one.options.flatMap(({ long }) => long ?? [])))],
        keys: takesKeys ? allKeyNames().map((key) => `${key}=`) : [],
      };
    }),
  );
}

const recipeNames = (): string =>
  listRecipes()
    .map(({ name }) => name)
    .join(" ");

// Files are readline's to complete (-o default): what compgen -W gets is expanded as a command's words are, and a file's name
// may hold a command.
function bashScript(completions: readonly Completions[]): string {
  const cases = completions.map(
    ({ name, subcommands, options, keys }) =>
      `    ${name}) words="${[...subcommands, ...options, ...keys].join(" ")}" ;;`,
  );
  return `_forge() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words
  if [ "$COMP_CWORD" -eq 1 ]; then words="${completions.map(({ name }) => name).join(" ")}"
  elif [ "$previous" = --config ]; then
    words="${recipeNames()}"
  else case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  case "\${COMPREPLY[0]}" in *=) compopt -o nospace 2>/dev/null ;; esac
}
complete -o default -F _forge forge torchforge`;
}

// fish completes files by itself, where nothing says otherwise. It has no word that ends without a space, but it adds none after =.
function fishScript(completions: readonly Completions[]): string {
  const lines = completions.flatMap(({ name, summary, subcommands, options, keys }) => {
    const after = `-n '__fish_seen_subcommand_from ${name}'`;
    const words = [...subcommands, ...keys].join(" ");
    return [
      `-n __fish_use_subcommand -f -a ${name} -d ${quoted(summary)}`,
      ...options.map((option) =>
        option === "--config"
          ? `${after} -l config -r -a '${recipeNames()}'`
          : `${after} -l ${option.slice(2)}`,
      ),
      ...(words === "" ? [] : [`${after} -a '${words}'`]),
    ];
  });
  return ["forge", "torchforge"]
    .flatMap((program) => lines.map((line) => `complete -c ${program} ${line}`))
    .join("\n");
}

const quoted = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
