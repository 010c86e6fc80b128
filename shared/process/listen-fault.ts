import { ProgramFault } from '#shared/base/program-fault.ts';

/** Why a port can't be listened on, in words for the person who runs the program. */
export function listenFault(
  error: Error,
  at: { readonly name: string; readonly host: string; readonly port: number },
): Error {
  const where = `port ${at.port} on ${at.host} for ${at.name}`;
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return new ProgramFault(
        78,
        `${where} is taken by another program`,
        `Stop the program that listens there (see: ss -ltnp 'sport = :${at.port}'), or configure another port.`,
        { cause: error },
      );
    case 'EACCES':
      return new ProgramFault(
        78,
        `${where} may not be opened by this user`,
        'Configure a port from 1024 up, or give the program the capability CAP_NET_BIND_SERVICE.',
        { cause: error },
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAFNOSUPPORT':
    case 'EINVAL':
      return new ProgramFault(
        78,
        `${where}: this machine has no such address`,
        'Configure an address of this machine, 0.0.0.0 for all of IPv4, or :: for all.',
        { cause: error },
      );
    default:
      return error;
  }
}
