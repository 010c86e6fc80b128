/**
 * Where we and Dovecot are known to differ: by quirk, the messages of the corpus and the items of FETCH. The
 * quirks are explained in docs/quirks.md under the same names.
 */
export const expectedDifferences: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'default-type': {
    'python/msg_14.txt': ['BODY', 'BODYSTRUCTURE'],
    'python/test_contentmanager.py:test_get_non_text': ['BODY', 'BODYSTRUCTURE'],
    'python/test_policy.py:test_parser_propagates_policy_to_sub_messages': ['BODY', 'BODYSTRUCTURE'],
    'own/type-without-subtype': ['BODY', 'BODYSTRUCTURE'],
    'own/type-with-blank': ['BODY', 'BODYSTRUCTURE'],
    'own/empty-type': ['BODY', 'BODYSTRUCTURE'],
  },
  'parameter-pieces': {
    'python/msg_29.txt': ['BODY', 'BODYSTRUCTURE'],
    'python/test_email.py:test_rfc2231_no_language_or_charset_in_boundary': ['BODYSTRUCTURE'],
    'python/test_email.py:test_rfc2231_no_language_or_charset_in_charset': ['BODY', 'BODYSTRUCTURE'],
    'python/test_email.py:test_rfc2231_encoded_then_unencoded_segments': ['BODY', 'BODYSTRUCTURE'],
    'python/test_email.py:test_rfc2231_unencoded_then_encoded_segments': ['BODY', 'BODYSTRUCTURE'],
    'forwarded/message/python/test_email.py:test_rfc2231_encoded_then_unencoded_segments': ['BODY', 'BODYSTRUCTURE'],
    'own/parameter-pieces': ['BODY', 'BODYSTRUCTURE'],
  },
  'parameter-order': {
    'python/msg_33.txt': ['BODYSTRUCTURE'],
  },
  'fields-without-type': {
    'python/test_email.py:test_rfc2231_parse_rfc_quoting': ['BODYSTRUCTURE'],
    'python/test_email.py:test_rfc2231_parse_extra_quoting': ['BODYSTRUCTURE'],
    'python/test_email.py:test_rfc2231_partly_encoded': ['BODYSTRUCTURE'],
    'python/test_email.py:test_rfc2231_partly_nonencoded': ['BODYSTRUCTURE'],
    'python/test_email.py:test_rfc2231_bad_encoding_in_filename': ['BODYSTRUCTURE'],
    'python/test_email.py:test_rfc2231_bad_character_in_filename': ['BODYSTRUCTURE'],
    'python/test_email.py:test_rfc2231_unknown_encoding': ['BODY', 'BODYSTRUCTURE'],
    'python/test_email.py:test_rfc2231_bad_character_in_encoding': ['BODY', 'BODYSTRUCTURE'],
    'python/test_generator.py:test_rfc2231_wrapping': ['BODYSTRUCTURE'],
    'python/test_generator.py:test_rfc2231_wrapping.2': ['BODYSTRUCTURE'],
    'python/test_generator.py:test_rfc2231_wrapping_switches_to_default_len_if_too_narrow.2': ['BODYSTRUCTURE'],
    'forwarded/digest/python/test_email.py:test_rfc2231_partly_nonencoded': ['BODYSTRUCTURE'],
    'forwarded/twice/python/test_email.py:test_rfc2231_unknown_encoding': ['BODY', 'BODYSTRUCTURE'],
    'own/raw-utf-8': ['BODYSTRUCTURE'],
  },
  'unquoted-values': {
    'python/test_message.py:TestEmailMessageBase.8': ['BODYSTRUCTURE'],
    'python/test_message.py:TestEmailMessageBase.9': ['BODYSTRUCTURE'],
    'forwarded/digest/python/test_message.py:TestEmailMessageBase.9': ['BODYSTRUCTURE'],
    'own/parameters': ['BODY', 'BODYSTRUCTURE'],
    'own/unquoted-boundary': ['BODY', 'BODYSTRUCTURE'],
  },
  'no-empty-line': {
    'python/msg_35.txt': ['BODY[HEADER.FIELDS]'],
    'python/test_email.py:test_multipart_with_bad_bytes_in_cte': ['BODY[HEADER.FIELDS]'],
    'python/test_email.py:test_newlines': ['BODY[HEADER.FIELDS]'],
    'python/test_email.py:test_newlines.2': ['BODY[HEADER.FIELDS]'],
    'python/test_nntplib.py:NNTPv1Handler': ['BODY[HEADER.FIELDS]'],
    'own/no-empty-line': ['BODY[HEADER.FIELDS]'],
    'own/no-last-line-break': ['BODY[HEADER.FIELDS]'],
    'own/multipart-without-body': ['BODY[HEADER.FIELDS]'],
    'own/embedded-empty': [
      'BODY[1.HEADER.FIELDS]',
      'BODY[1.HEADER.FIELDS.NOT]',
      'BODY[2.HEADER.FIELDS]',
      'BODY[2.HEADER.FIELDS.NOT]',
    ],
  },
  'break-before-boundary': {
    'python/msg_38.txt': ['BODY[1]'],
    'forwarded/twice/python/msg_35.txt': [
      'BODY',
      'BODYSTRUCTURE',
      'BODY[1.1]',
      'BODY[1.1.HEADER.FIELDS]',
      'BODY[1.1.HEADER.FIELDS.NOT]',
    ],
    'forwarded/twice/python/test_email.py:test_multipart_with_bad_bytes_in_cte': [
      'BODY',
      'BODYSTRUCTURE',
      'BODY[1.1]',
      'BODY[1.1.HEADER.FIELDS]',
      'BODY[1.1.HEADER.FIELDS.NOT]',
    ],
    'forwarded/digest/python/test_email.py:test_newlines.2': [
      'BODY',
      'BODYSTRUCTURE',
      'BODY[1]',
      'BODY[1.HEADER.FIELDS]',
      'BODY[1.HEADER.FIELDS.NOT]',
    ],
    'own/boundary-is-prefix': ['BODY[1]'],
    'own/prefix-is-inside': ['BODY[1]'],
    'own/same-boundary-inside': ['BODY[1]'],
    'own/digest': ['BODY', 'BODYSTRUCTURE', 'BODY[3]', 'BODY[3.HEADER.FIELDS]', 'BODY[3.HEADER.FIELDS.NOT]'],
  },
  'blank-ends-boundary': {
    'own/boundary-ends-with-blank': ['BODY', 'BODYSTRUCTURE', 'BODY[1]', 'BODY[1.MIME]'],
  },
  addresses: {
    'own/routes-and-comments': ['ENVELOPE'],
    'own/broken-addresses': ['ENVELOPE'],
    'own/semicolons': ['ENVELOPE'],
  },
  folds: {
    'own/folded-with-tabs': ['ENVELOPE'],
  },
  'repeated-fields': {
    'own/two-types': ['BODYSTRUCTURE'],
  },
};
