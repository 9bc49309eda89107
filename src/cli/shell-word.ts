// Quotes arguments, so that printed commands can be pasted into a shell.

/** One argument, quoted for a POSIX shell. */
export const shellWord = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
