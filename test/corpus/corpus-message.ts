/** `name` says where the message is from; its line breaks are CRLF. */
export type CorpusMessage = { readonly name: string; readonly bytes: Buffer };
