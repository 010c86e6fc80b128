/** The peer wrote something that the grammar doesn't have. `rule` is the name in the RFC's ABNF. */
export class SyntaxFault extends Error {
  override readonly name = 'SyntaxFault';
  readonly rule: string;
  readonly offset: number;

  constructor(rule: string, offset: number) {
    super(`expected ${rule} at ${offset}`);
    this.rule = rule;
    this.offset = offset;
  }
}
