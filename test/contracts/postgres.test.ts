import { mailStoreContract } from './mail-store-contract.ts';
import { openPgStore } from './pg-store.ts';

mailStoreContract('in Postgres', () => openPgStore());
