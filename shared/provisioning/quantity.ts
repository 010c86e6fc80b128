const quantity = /^([0-9]{1,19})(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$/;

const factors: Readonly<Record<string, bigint>> = {
  k: 10n ** 3n,
  M: 10n ** 6n,
  G: 10n ** 9n,
  T: 10n ** 12n,
  P: 10n ** 15n,
  Ki: 2n ** 10n,
  Mi: 2n ** 20n,
  Gi: 2n ** 30n,
  Ti: 2n ** 40n,
  Pi: 2n ** 50n,
};

/** The largest int8. */
const most = 2n ** 63n - 1n;

/** Bytes of a Kubernetes quantity in whole numbers ("10Gi", "500M", "4096"). Null: it is none, or beyond int8. */
export function parseQuantity(text: string): bigint | null {
  const [, digits, suffix] = quantity.exec(text) ?? [];
  if (digits === undefined) return null;
  const bytes = BigInt(digits) * (suffix === undefined ? 1n : (factors[suffix] ?? 1n));
  return bytes > most ? null : bytes;
}

const duration = /^(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?$/;

/** Seconds of a duration as Kubernetes writes them ("168h", "1h30m", "45s"). Null: it is none. */
export function parseDuration(text: string): number | null {
  const parts = duration.exec(text);
  if (!parts || text === '') return null;
  const [hours = 0, minutes = 0, seconds = 0] = parts.slice(1).map((digits) => Number(digits ?? 0));
  return hours * 3600 + minutes * 60 + seconds;
}

/** The shortest exact way to write so many bytes: "10Gi". */
export function formatQuantity(bytes: bigint): string {
  const suffix = ['Pi', 'Ti', 'Gi', 'Mi', 'Ki'].find((each) => bytes > 0n && bytes % (factors[each] ?? 1n) === 0n);
  return suffix === undefined ? `${bytes}` : `${bytes / (factors[suffix] ?? 1n)}${suffix}`;
}
