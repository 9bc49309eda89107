// Environment variables, as functions take them. Not NodeJS.ProcessEnv: our declarations must not need Node's.

export type Environment = Readonly<Record<string, string | undefined>>;
