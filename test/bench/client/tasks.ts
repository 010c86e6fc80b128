/** What the runner asks of the client process, and what it answers. */

export type Door = {
  readonly port: number;
  readonly tls: boolean;
  /** The client's own address, where several are played. */
  readonly from?: string;
};
export type Login = Door & { readonly user: string; readonly password: string };

export type Task =
  | {
      readonly kind: 'smtp';
      readonly port: number;
      readonly startTls?: boolean;
      readonly sessions: number;
      readonly bytes: number;
      readonly seconds: number;
      readonly messagesPerConnection: number;
      /** Groups of recipients; messages take them in turn. */
      readonly recipients: readonly (readonly string[])[];
    }
  | {
      readonly kind: 'hand-in';
      /** Implicit TLS. */
      readonly port: number;
      readonly login: { readonly user: string; readonly password: string } | null;
      readonly sender: string;
      /** Messages take them in turn. */
      readonly recipients: readonly string[];
      readonly sessions: number;
      readonly messages: number;
      readonly bytes: number;
      /** The sinks' control, and how many of the messages are to come there: it is over when they have. */
      readonly sinks: { readonly controlPort: number; readonly expect: number };
    }
  | {
      readonly kind: 'imap-script';
      readonly login: Login;
      /** Not timed: they bring the mailbox into its state. A NO is ignored. */
      readonly before: readonly string[];
      readonly commands: readonly string[];
      /** Commands under way at a time. */
      readonly depth: number;
      /** What must be counted in the answers, for example "FETCH (": a figure is worth nothing when the work was not done. */
      readonly expect?: { readonly text: string; readonly count: number };
      /** Numbers in the SEARCH response. */
      readonly hits?: number;
    }
  | {
      readonly kind: 'imap-logins';
      readonly logins: readonly Login[];
      readonly connections: number;
      readonly seconds: number;
    }
  | {
      readonly kind: 'imap-append';
      readonly logins: readonly Login[];
      readonly bytes: number;
      readonly seconds: number;
      readonly mailbox: string;
    }
  | {
      readonly kind: 'imap-store';
      readonly logins: readonly Login[];
      readonly seconds: number;
      readonly mailbox: string;
    }
  | {
      readonly kind: 'imap-fill';
      readonly login: Login;
      readonly mailbox: string;
      readonly count: number;
      readonly bytes: number;
      /** So many are appended, the others are copies of these. */
      readonly distinct: number;
      readonly connections: number;
    }
  | { readonly kind: 'imap-hold'; readonly logins: readonly Login[] }
  | { readonly kind: 'imap-release' }
  | {
      readonly kind: 'login-storm';
      /** One a connection; each comes from an address of its own. */
      readonly logins: readonly Login[];
    }
  | {
      readonly kind: 'idle-latency';
      readonly idle: Login;
      readonly deliver: Login & { readonly by: 'smtp' | 'append'; readonly recipient: string };
      readonly count: number;
    }
  | {
      readonly kind: 'smtp-fill';
      readonly login: Login;
      readonly smtpPort: number;
      readonly recipient: string;
      readonly mailbox: string;
      readonly count: number;
      readonly bytes: number;
      readonly sessions: number;
    }
  | {
      readonly kind: 'imap-copies';
      readonly login: Login;
      readonly from: string;
      readonly to: string;
      /** Messages that the second mailbox has in the end. */
      readonly count: number;
    }
  | {
      readonly kind: 'imap-changes';
      readonly login: Login;
      readonly mailbox: string;
      /** Messages to change, each change counted. */
      readonly changes: number;
      /** No longer than this. */
      readonly seconds: number;
    }
  | {
      readonly kind: 'beside-search';
      readonly searcher: Login;
      readonly mailbox: string;
      /** Null: nobody searches. */
      readonly word: string | null;
      /** Numbers in the SEARCH response; mail that came since the mailbox was made may have the word too. */
      readonly hits: { readonly least: number; readonly most: number };
      readonly others: readonly Login[];
      readonly smtpPort: number;
      readonly recipient: string;
      readonly seconds: number;
    }
  | {
      readonly kind: 'mixed';
      readonly smtpPort: number;
      readonly recipients: readonly string[];
      readonly logins: readonly Login[];
      readonly seconds: number;
    }
  | {
      readonly kind: 'postgres-insert';
      readonly url: string;
      readonly clients: number;
      readonly bytes: number;
      readonly rowsPerCommit: number;
      readonly seconds: number;
    }
  | { readonly kind: 'postgres-read'; readonly url: string; readonly sql: string }
  | { readonly kind: 'fdatasync'; readonly folder: string; readonly bytes: number; readonly seconds: number };

export type Outcome = {
  /** Messages, logins, commands or rows. */
  readonly count: number;
  readonly seconds: number;
  readonly bytes: number;
  /** CPU-seconds of the client meanwhile, and of what plays other people's servers. */
  readonly cpuSeconds: number;
  readonly also?: Readonly<Record<string, number>>;
};

/** What a task says of itself; the CPU of the client's own process is added. */
export type TaskOutcome = Omit<Outcome, 'cpuSeconds'> & { readonly helperCpuSeconds?: number };

/** What the client does between the untimed and the timed part: the runner reads its counters then. */
export type Begin = () => Promise<void>;

export type ToClient = { readonly run: Task } | { readonly go: true };
export type FromClient = { readonly begin: true } | { readonly outcome: Outcome } | { readonly failure: string };
