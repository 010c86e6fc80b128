/**
 * What a client learns from an IMAP server, in a form in which two servers can be compared: texts, UIDVALIDITY, \Recent,
 * the order of what has none and the moment of news are left out.
 */
import type { ImapSession } from '../harness/imap-session.ts';
import { parseFetch, parseImapValues, type ImapValue } from '../harness/imap-values.ts';

type Known = { uid: number | null; flags: string | null };

/** What came of one command. */
export type Observed = {
  /** OK, NO or BAD with the response code, or BYE where the server ended the session. */
  readonly outcome: string;
  /** What the command asked for, sorted. */
  readonly answers: readonly string[];
};

/** A client that believes what it is told of its mailbox. */
export class Observer {
  readonly #session: ImapSession;
  /** Of the selected mailbox. */
  messages: Known[] = [];
  #isSelected = false;

  constructor(session: ImapSession) {
    this.#session = session;
  }

  get isSelected(): boolean {
    return this.#isSelected;
  }

  async perform(command: string): Promise<Observed> {
    const verb = /^(?:UID )?[A-Z]+/.exec(command)?.[0] ?? '';
    let exchange;
    try {
      exchange = await this.#session.exchange(command);
    } catch {
      return { outcome: 'BYE', answers: [] };
    }
    const { untagged, tagged } = exchange;
    if (verb === 'SELECT' || verb === 'EXAMINE') this.messages = [];
    const answers = untagged.flatMap((response) => this.#hear(verb, command, response));
    // What silence leaves out the client has to work out for itself; this one doesn't.
    if (command.includes('.SILENT')) for (const message of this.messages) message.flags = null;
    const [status = ''] = tagged.split(' ', 1);
    if (verb === 'SELECT' || verb === 'EXAMINE') this.#isSelected = status === 'OK';
    if ((verb === 'CLOSE' || verb === 'UNSELECT') && status === 'OK') this.#leave();
    if (untagged.some((response) => response.startsWith('* BYE'))) return { outcome: 'BYE', answers: [] };
    return { outcome: [status, codeOf(tagged)].join(' ').trim(), answers: answers.sort() };
  }

  /** What it knows of the mailbox: the UIDs and flags of its messages. */
  belief(): readonly string[] {
    return this.messages.map(({ uid, flags }) => `${uid ?? '?'} ${flags ?? '?'}`);
  }

  #leave(): void {
    this.#isSelected = false;
    this.messages = [];
  }

  #hear(verb: string, command: string, response: string): readonly string[] {
    const [, number = '', what = ''] = /^\* (\d+) (EXISTS|EXPUNGE|FETCH|RECENT)/.exec(response) ?? [];
    const n = Number(number);
    switch (what) {
      case 'EXISTS':
        while (this.messages.length < n) this.messages.push({ uid: null, flags: null });
        if (this.messages.length > n) throw new Error(`${response} after ${this.messages.length}`);
        return [];
      case 'EXPUNGE':
        if (n > this.messages.length) throw new Error(`${response} of ${this.messages.length}`);
        this.messages.splice(n - 1, 1);
        return [];
      case 'RECENT':
        return [];
      case 'FETCH':
        return this.#hearFetch(verb, command, n, response);
      default:
        return told(verb, response);
    }
  }

  #hearFetch(verb: string, command: string, n: number, response: string): readonly string[] {
    const message = this.messages[n - 1];
    if (message === undefined) throw new Error(`${response} of ${this.messages.length}`);
    const fetched = parseFetch(response);
    const answers: string[] = [];
    for (const [name, value] of fetched) {
      if (name === 'UID') {
        if (message.uid !== null && message.uid !== value) throw new Error(`${response}, but it was ${message.uid}`);
        message.uid = Number(value);
      } else if (name === 'FLAGS') message.flags = flagNames(value);
      else answers.push(`${name.toUpperCase()} ${form(name, value)}`);
    }
    // Only an answer has more than FLAGS and UID, which come as news too.
    if (!verb.endsWith('FETCH')) return answers.map((answer) => `${n} ${answer}`);
    if (command.includes('UID ') && message.uid === null) answers.push('no UID');
    return answers.map((answer) => `${n} ${answer}`);
  }
}

function codeOf(tagged: string): string {
  const code = /^[A-Z]+ \[([^\]]*)\]/.exec(tagged)?.[1] ?? '';
  return code.replace(/^(APPENDUID|COPYUID) \d+/, '$1 *');
}

function flagNames(value: ImapValue): string {
  const names = (value as readonly { readonly atom: string }[]).map(({ atom }) => atom.toLowerCase());
  return names
    .filter((name) => name !== String.raw`\recent`)
    .sort()
    .join(' ');
}

function form(name: string, value: ImapValue): string {
  // A section that is not there: `NIL` with us, an empty string with Dovecot.
  if (name.startsWith('BODY[') && value === null) return '""';
  if (name === 'INTERNALDATE') return `${Date.parse(typeof value === 'string' ? value : '')}`;
  return JSON.stringify(value);
}

function told(verb: string, response: string): readonly string[] {
  const condition = /^\* (?:OK|NO|BAD) (?:\[([^\]]*)\])?/.exec(response);
  if (condition) {
    const code = (condition[1] ?? '').replace(/^(COPYUID|UIDVALIDITY) \d+/, '$1 *');
    if (code.startsWith('PERMANENTFLAGS'))
      return verb === 'SELECT' || verb === 'EXAMINE' ? [flagList('PERMANENTFLAGS', code)] : [];
    return /^(HIGHESTMODSEQ|NOMODSEQ)/.test(code) ? [] : [code];
  }
  if (response.startsWith('* FLAGS'))
    return verb === 'SELECT' || verb === 'EXAMINE' ? [flagList('FLAGS', response)] : [];
  const list = /^\* (LIST|LSUB) \(([^)]*)\) (.*)$/s.exec(response);
  if (list) {
    const attributes = (list[2] ?? '')
      .toLowerCase()
      .split(' ')
      .filter((name) => !name.endsWith('marked'))
      .sort()
      .join(' ');
    return [`${list[1]} (${attributes}) ${JSON.stringify(parseImapValues(list[3] ?? '').map(nameOf))}`];
  }
  const status = /^\* STATUS (.*)$/s.exec(response);
  if (status) return [JSON.stringify(parseImapValues(status[1] ?? '').map(nameOf))];
  if (response.startsWith('* SEARCH')) return [response.trim()];
  return [response];
}

/** Atom or string are the same name. */
function nameOf(value: ImapValue): ImapValue {
  const name = value !== null && typeof value === 'object' && 'atom' in value ? value.atom : value;
  return typeof name === 'string' && name.toUpperCase() === 'INBOX' ? 'INBOX' : name;
}

/** Without keywords: Dovecot also has those that were only ever removed. */
function flagList(name: string, text: string): string {
  const list = /\(([^)]*)\)/.exec(text)?.[1] ?? '';
  const system = list.split(' ').filter((flag) => flag.startsWith('\\'));
  return `${name} ${system.sort().join(' ')}`;
}
