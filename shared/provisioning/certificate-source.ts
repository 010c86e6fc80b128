import { z } from 'zod';
import { localReference, objectName } from './schema-parts.ts';

/** Where a certificate comes from, of a MailServer or a MailDomain. */
export function certificateSource<const Mode extends string>(modes: readonly [Mode, ...Mode[]], usual: NoInfer<Mode>) {
  return z
    .strictObject({
      mode: z.enum(modes, `must be one of ${modes.join(', ')}`).default(usual as never),
      /** Of cert-manager. */
      issuerRef: z
        .strictObject({
          name: objectName,
          kind: z.enum(['Issuer', 'ClusterIssuer'], 'must be Issuer or ClusterIssuer').default('Issuer'),
          group: z.string().min(1).max(253).default('cert-manager.io'),
        })
        .optional(),
      /** Type kubernetes.io/tls. */
      secretRef: localReference.optional(),
    })
    .refine(({ mode, issuerRef }) => (mode === 'CertManager') === (issuerRef !== undefined), {
      path: ['issuerRef'],
      error: 'is needed with mode CertManager, and has no place without it',
    })
    .refine(({ mode, secretRef }) => (mode === 'Secret') === (secretRef !== undefined), {
      path: ['secretRef'],
      error: 'is needed with mode Secret, and has no place without it',
    });
}
