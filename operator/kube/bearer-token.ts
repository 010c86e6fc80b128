/** The token that requests carry. Service account tokens live an hour and are rotated in their file. */
import { readFile } from 'node:fs/promises';
import type { Clock } from '#shared/base/clock.ts';
import type { KubeAccess } from './kube-config.ts';

/** The kubelet rotates a token at 80 % of its life; a minute late is early enough. */
const freshMs = 60_000;

export class BearerToken {
  readonly #source: KubeAccess['token'];
  readonly #clock: Clock;
  #read: { readonly token: string; readonly at: number } | null = null;

  constructor(source: KubeAccess['token'], clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /** Null: requests carry none. While the file cannot be read the last token goes on being used. */
  async get(): Promise<string | null> {
    if (this.#source === null) return null;
    if ('text' in this.#source) return this.#source.text;
    const now = this.#clock.monotonicMs();
    if (this.#read && now - this.#read.at < freshMs) return this.#read.token;
    try {
      this.#read = { token: (await readFile(this.#source.file, 'utf8')).trim(), at: now };
    } catch (error) {
      if (this.#read === null) throw error;
    }
    return this.#read.token;
  }

  /** The server refused it. Whether a new one may be had: it will be read again. */
  forget(): boolean {
    if (this.#source === null || 'text' in this.#source || this.#read === null) return false;
    this.#read = { token: this.#read.token, at: -Infinity };
    return true;
  }
}
