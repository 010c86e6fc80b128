import type { ImapCommand, ImapVerb } from '../grammar/command.ts';

/** The command of a verb. */
export type CommandOf<V extends ImapVerb> = ImapCommand extends infer C
  ? C extends { readonly verb: infer W }
    ? V & W extends never
      ? never
      : C
    : never
  : never;
