import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readProxyHeader, type ProxyHeader } from './proxy-header.ts';

const line = (text: string): ProxyHeader => readProxyHeader(Buffer.from(text, 'latin1'));

function binary(command: number, family: number, payload: string, length = payload.length / 2): Buffer {
  const size = length.toString(16).padStart(4, '0');
  const bytes = [command, family].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return Buffer.from(`0d0a0d0a000d0a515549540a${bytes}${size}${payload}`, 'hex');
}

describe('version 1', () => {
  test('addresses of both families', () => {
    expect(line('PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\nEHLO')).toEqual({
      kind: 'client',
      length: 44,
      address: '192.0.2.7',
      port: 56_324,
    });
    expect(line('PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n')).toMatchObject({ address: '2001:db8::7', port: 1 });
  });

  test('who does not know the client speaks for itself', () => {
    expect(line('PROXY UNKNOWN\r\n')).toEqual({ kind: 'own', length: 15 });
    expect(line('PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\nX')).toMatchObject({ kind: 'own' });
  });

  test.each([
    'EHLO client.example\r\n',
    'PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n',
    'PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n',
    'PROXY TCP4 2001:db8::7 198.51.100.1 1 2\r\n',
    'PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n',
    'PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n',
    'PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n',
    'PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n',
    'PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n',
    'PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n',
    `PROXY TCP4 ${'1'.repeat(120)}`,
    'proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n',
  ])('refused: %j', (text) => {
    expect(line(text).kind).toBe('bad');
  });
});

describe('version 2', () => {
  test('addresses of both families, and what follows them belongs to the header', () => {
    expect(readProxyHeader(binary(0x21, 0x11, 'c0000207c6336401dc040019'))).toEqual({
      kind: 'client',
      length: 28,
      address: '192.0.2.7',
      port: 56_324,
    });
    const six = '20010db800000000000000000000000720010db800000000000000000000000100010019';
    expect(readProxyHeader(binary(0x21, 0x21, `${six}0400020000`))).toEqual({
      kind: 'client',
      length: 57,
      address: '2001:db8::7',
      port: 1,
    });
    const mapped = '00000000000000000000ffffc000020700000000000000000000ffffc633640100010019';
    expect(readProxyHeader(binary(0x21, 0x21, mapped))).toMatchObject({ address: '192.0.2.7' });
  });

  test('LOCAL, and other families than TCP', () => {
    expect(readProxyHeader(binary(0x20, 0x11, 'c0000207c6336401dc040019'))).toEqual({ kind: 'own', length: 28 });
    expect(readProxyHeader(binary(0x20, 0x00, ''))).toEqual({ kind: 'own', length: 16 });
    expect(readProxyHeader(binary(0x21, 0x12, 'c0000207c6336401dc040019'))).toMatchObject({ kind: 'own' });
    expect(readProxyHeader(binary(0x21, 0x31, '00'.repeat(216)))).toMatchObject({ kind: 'own', length: 232 });
  });

  test('refused: another version, another command, short addresses, too long', () => {
    expect(readProxyHeader(binary(0x11, 0x11, 'c0000207c6336401dc040019')).kind).toBe('bad');
    expect(readProxyHeader(binary(0x22, 0x11, 'c0000207c6336401dc040019')).kind).toBe('bad');
    expect(readProxyHeader(binary(0x21, 0x11, 'c0000207c6336401')).kind).toBe('bad');
    expect(readProxyHeader(binary(0x21, 0x21, 'c0000207c6336401dc040019')).kind).toBe('bad');
    expect(readProxyHeader(binary(0x21, 0x11, '', 5000)).kind).toBe('bad');
  });
});

test('a header in pieces is incomplete until its last byte, and the same with more behind it', () => {
  const wholes = [
    Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n', 'latin1'),
    Buffer.from('PROXY UNKNOWN\r\n', 'latin1'),
    binary(0x21, 0x11, 'c0000207c6336401dc040019'),
    binary(0x20, 0x00, ''),
  ];
  for (const whole of wholes) {
    for (let length = 0; length < whole.length; length++) {
      expect(readProxyHeader(whole.subarray(0, length)).kind).toBe('incomplete');
    }
    expect(readProxyHeader(Buffer.concat([whole, Buffer.from('EHLO x\r\n')]))).toEqual(readProxyHeader(whole));
    expect(readProxyHeader(whole)).toMatchObject({ length: whole.length });
  }
});

test('whatever comes, it throws nothing', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, isSigned) => {
      const start = isSigned ? binary(0x21, 0x11, '').subarray(0, 12) : Buffer.alloc(0);
      const header = readProxyHeader(Buffer.concat([start, bytes]));
      if ('length' in header) expect(header.length).toBeLessThanOrEqual(start.length + bytes.length);
    }),
  );
});
