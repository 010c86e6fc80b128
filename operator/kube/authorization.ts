/** The Authorization header that requests carry. Service account tokens live an hour and are rotated in their file. */
import { readFile } from 'node:fs/promises';
import type { Clock } from '#shared/base/clock.ts';
import type { KubeAccess } from './kube-access.ts';

/** The kubelet rotates a token at 80 % of its life; a minute late is early enough. */
const freshMs = 60_000;

export class Authorization {
  readonly #source: KubeAccess['login'];
  readonly #clock: Clock;
  #read: { readonly header: string | null; readonly at: number } | null = null;

  constructor(source: KubeAccess['login'], clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /** Null: requests carry none. While it cannot be had anew the last goes on being used. */
  async header(): Promise<string | null> {
    if (this.#source === null) return null;
    if ('token' in this.#source) return `Bearer ${this.#source.token}`;
    const now = this.#clock.monotonicMs();
    if (this.#read && now - this.#read.at < freshMs) return this.#read.header;
    try {
      const header =
        'tokenFile' in this.#source
          ? `Bearer ${(await readFile(this.#source.tokenFile, 'utf8')).trim()}`
          : await this.#source.ask();
      this.#read = { header, at: now };
    } catch (error) {
      if (this.#read === null) throw error;
    }
    return this.#read.header;
  }

  /** The server refused it. Whether another may be had: it will be read again. */
  forget(): boolean {
    if (this.#read === null) return false;
    this.#read = { header: this.#read.header, at: -Infinity };
    return true;
  }
}
